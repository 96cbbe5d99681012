"""The benchmarks themselves: intervals, missed bars, tables that are never empty, and rivals that fail."""

import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import figures, gpu, measure, points, rows
from benchmarks.few import FewTask, difference, fasttext, tfidf
from benchmarks.growth import SHORT, curves
from benchmarks.memory import ROWS, TIMES
from tools.settings import ROOT

README = ROOT / "benchmarks" / "README.md"


# Intervals


@pytest.mark.parametrize(("count", "left_out"), [(3, 0), (5, 0), (8, 1), (9, 1), (11, 2), (15, 3), (21, 6), (31, 10)])
def test_an_interval_holds_the_median_with_90_percent_and_no_narrower_one_does(count, left_out):
    values = [*range(count)][::-1]
    assert measure.interval(values) == (left_out, count - 1 - left_out)

    def covered(out: int) -> float:
        return 1 - 2 * sum(math.comb(count, below) for below in range(out + 1)) / 2**count

    assert count < 5 or covered(left_out) >= 0.9
    assert covered(left_out + 1) < 0.9


def test_an_interval_covers_the_median_as_often_as_it_says():
    drawn = np.random.default_rng(0).exponential(size=(4000, 9))
    intervals = np.array([measure.interval(some) for some in drawn.tolist()])
    share = ((intervals[:, 0] <= math.log(2)) & (math.log(2) <= intervals[:, 1])).mean()
    assert 0.95 < share < 0.97


def test_ratios_are_taken_round_by_round():
    """A machine that slows down to a tenth between the rounds changes the medians of seconds, and no ratio."""
    ours = [{"seconds": pace} for pace in (1, 10, 100)]
    theirs = [{"seconds": 2 * pace, "accuracy": 0.5} for pace in (1, 10, 100)]
    row = measure.compare({"ours": ours, "theirs": theirs}, "ours")[1]
    assert (row["ratio"], row["low"], row["high"], row["seconds"], row["accuracy"]) == (2, 2, 2, 20, 0.5)
    assert row["runs"] == theirs


def test_the_difference_in_points_is_that_of_the_same_texts():
    ours, theirs = np.arange(100) < 70, np.arange(100) < 60
    found = difference([ours, ours], [theirs, theirs])
    assert found["points"] == pytest.approx(10) and found["low"] == pytest.approx(
        10 - 1.645 * 100 * 0.30151 / 10, abs=0.01
    )
    assert difference([ours], [ours]) == {"points": 0, "low": 0, "high": 0}


# Turns


def test_the_order_moves_on_and_every_other_round_goes_backwards():
    order = []
    measure.take_turns({name: lambda seed, name=name: lambda: order.append((seed, name)) for name in "abc"}, rounds=4)
    assert "".join(name for _, name in order) == "abcacbcabcba"
    assert [seed for seed, _ in order] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_a_contestant_that_fails_costs_the_others_nothing(capsys):
    def fails(seed):
        if seed == 1:
            raise RuntimeError("lost\nand more")
        return dict

    contestants = {"a": lambda seed: dict, "b": fails, "c": lambda seed: dict, "d": measure.missing("dee")}
    results = measure.take_turns(contestants, rounds=2)
    assert [len(results[name]) for name in "ac"] == [2, 2]
    assert results["b"] == "failed: RuntimeError: lost" and "lost" in capsys.readouterr().err
    few = measure.take_turns({"a": lambda seed: dict, "b": lambda seed: dict}, rounds=5, beside="b")
    assert [len(few[name]) for name in "ab"] == [5, measure.FEW] and "ratio" in measure.compare(few, "a")[1]
    compared = {row["name"]: row for row in measure.compare(results, "a")}
    assert compared["b"]["note"] == "failed: RuntimeError: lost" and "ratio" in compared["c"]
    assert compared["d"]["note"] == "not installed: pip install dee"
    assert all("ratio" not in row for row in measure.compare(results, "b"))


def test_what_was_measured_is_kept_when_the_next_part_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "FOLDER", tmp_path)

    def parts():
        yield "one", measure.compare({"ours": [{"seconds": 1.0}]}, "ours")
        raise OSError("no more")

    with pytest.raises(OSError):
        measure.report("some", parts())
    found = measure.results_of(["some"])["some"]
    assert found["parts"]["one"][0]["runs"] == [{"seconds": 1.0}] and found["machine"]["cores"]
    (tmp_path / "old.json").write_text('{"parts": {"one": []}}')
    assert [*measure.results_of()] == ["some"] and "runs" not in capsys.readouterr().out


def test_benchmarks_that_fail_do_not_stop_the_others(monkeypatch, capfd):
    monkeypatch.setattr(command, "MODULES", {})
    command.run_apart({"none such": 1, "figures_of_nothing": 2})
    said = capfd.readouterr().out
    assert "failed: none such\nfailed: figures_of_nothing" in said and "the budget is 3" in said


def test_budgets_are_written_down_and_kept_within_twenty_minutes():
    assert sum(command.BENCH.values()) <= 1200
    text = README.read_text(encoding="utf-8")
    modules = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    for name, seconds in command.BENCH.items():
        assert name in modules and f"`{name}`" in text and str(seconds) in text
    for name in command.LONG:
        assert command.MODULES.get(name, name) in modules and f"`{name}`" in text


# Tables and pictures


def row(name: str, value: float, spread: float = 0.1, **more) -> dict:
    runs = [{"seconds": value, "accuracy": 0.5 + seed / 100} for seed in range(3)]
    bounds = {"low": value - spread, "high": value + spread}
    return {"name": name, "seconds": value, "ratio": value, **bounds, "accuracy": 0.5, "runs": runs, **more}


MACHINE = measure.machine()


def results_with(values: dict[str, float], spread: float = 0.1) -> dict:
    """Results in which each figure has the value given for its benchmark and row, or else one that keeps its bar."""
    results = {}
    for figure in figures.FIGURES:
        content = results.setdefault(figure.benchmark, {"machine": MACHINE, "parts": {}})
        rows = content["parts"].setdefault(figure.part or "all", [])
        good = figure.at_most or (figure.at_least or 1) + 0.5
        value = values.get(f"{figure.benchmark} {figure.row}", good)
        rows.append(row(figure.row, value, spread, points=value))
    for axis in SHORT:
        rows = [
            {"work": work, "amount": amount, "seconds": 2.0, "megabytes": 300.0}
            for work in ("train", "predict")
            for amount in SHORT[axis]
        ]
        results.setdefault("growth", {"machine": MACHINE, "parts": {}})["parts"][axis] = rows
    return results


def test_a_missed_bar_is_found_and_a_doubtful_one_is_not_called_so():
    assert figures.missed(results_with({})) == []
    below = results_with(
        {"train Trainer, defaults": 1.5, f"memory {TIMES * ROWS:,} rows": 1.3, "few frozen vectors": -3}
    )
    lines = figures.missed(below)
    assert len(lines) == 4 and lines[0].startswith("`train` / `Trainer` by default, kit encoder: 1.50 (1.40 to 1.60)")
    assert "at most 1.1" in lines[1] and "frozen vectors: -3.0" in lines[3]
    assert figures.missed(results_with({"train Trainer, defaults": 1.75})) == []
    assert "| 1.75 | 1.65 to 1.85 | ≈ |" in figures.figures(results_with({"train Trainer, defaults": 1.75}))


def test_what_was_not_measured_or_failed_is_said_in_the_table():
    results = results_with({})
    results["train"]["parts"][figures.KIT] = [{"name": "Keras fit", "note": "not installed: pip install keras"}]
    del results["few_long"]
    lines = figures.figures(results).splitlines()
    assert any(line == "| `train` / Keras `fit`, kit encoder |  | not installed |  |  |" for line in lines)
    assert sum("| not measured |" in line for line in lines) == 6
    assert "| Keras fit | not installed |  |" in figures.peers(results)


def test_every_bar_of_the_table_is_in_it():
    table = figures.figures(results_with({}))
    for words, bar in {
        "`Trainer` by default": "1.8", "`Trainer` at its best": "1.25", "tutorials' recipe": "12", "with AdamW": "0.97",
        "without optimizer": "0.9", "`pipeline` by default": "6", "`predict` / limit": "0.95", "int8": "4",
        "2 processes": "1.75", "100 times the rows": "at most 1.1", "`train` less `Trainer`": "-1 points",
        "100 labels": "0 points",
    }.items():  # fmt: skip
        found = [line.split(" | ") for line in table.splitlines() if words in line]
        assert found and all(cells[1] == bar for cells in found), words


def test_tables_and_pictures_are_written_and_nothing_is_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "FOLDER", tmp_path / "bench")
    (tmp_path / "bench").mkdir()
    for name, content in results_with({"processes 1 process": 1.2}).items():
        (tmp_path / "bench" / f"{name}.json").write_text(json.dumps(content | {"format": measure.FORMAT}))
    (tmp_path / "README.md").write_text(README.read_text(encoding="utf-8"), encoding="utf-8")
    figures.main(tmp_path)
    said = capsys.readouterr().out
    assert "bars missed:\n2 processes / 1 process: 1.20 (1.10 to 1.30); promised: 1.75" in said
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    for name in figures.BLOCKS:
        block = re.search(rf"<!-- {name} -->(.*?)<!-- /{name} -->", text, re.S)[1]
        table = [line for line in block.splitlines() if line.startswith("|")]
        assert len(table) > 3 and all(line.count("|") > 2 for line in table)
    for picture in ("few.svg", "growth.svg"):
        tree = ElementTree.parse(tmp_path / picture)
        letters = "".join(tree.getroot().itertext())
        assert f"]({picture})" in text and (tmp_path / picture).stat().st_size < 100_000
        assert ("accuracy, %" if picture == "few.svg" else "tokens a text") in letters
    figures.main(tmp_path)
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text


# Contestants, points and rows


def test_methods_without_a_network_learn():
    task = FewTask(rows=300, test_rows=200)
    labels = np.array(task.test["label"][:])
    assert np.bincount(labels).max() / len(labels) < 0.3
    for method in (tfidf, fasttext):
        answers = method(task.train(0), task.names, 0)()(task.test["text"][:])
        assert (answers == labels).mean() > 0.35, method


def take(size: int) -> None:
    bytearray(size)[:: 2**12] = b"x" * -(-size // 2**12)


def test_a_point_has_the_memory_of_its_own_process_and_a_killed_one_is_told():
    few, many = (points.point(take, size * 10**6)["megabytes"] for size in (1, 400))
    assert 380 < many - few < 420
    assert points.point(exit, 3)["note"].startswith("failed: SystemExit")
    assert points.point(measure.time.sleep, 60, patience=0.5)["note"] == "stopped after 0.5 seconds"


def test_a_point_ends_with_a_benchmark_that_is_killed():
    """Its output is closed only when the last process that writes to it is gone."""
    work = "import time; print('here', flush=True); time.sleep(600)"
    code = f"from benchmarks import points; points.LIBRARIES = []; points.point(exec, {work!r})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as benchmark:
        assert benchmark.stdout.readline() == b"here\n"
        benchmark.kill()
        assert benchmark.communicate(timeout=30) == (b"", None)


def test_rows_are_as_many_as_asked_and_differ(tmp_path):
    made = list(rows.made_rows(2000))
    assert len({text for text, _ in made}) == 2000 and len({stars for _, stars in made}) == 5
    rows.write_table(tmp_path / "a.csv", 10)
    assert len((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()) == 11
    calls = [(axis, work, amount) for axis, work, amount, *_ in curves(SHORT | {"rows": ()}, tmp_path)]
    assert len(calls) == len({*calls}) >= 12


def test_the_script_for_a_card_runs_to_its_end_without_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    monkeypatch.setattr(gpu, "compiled", lambda bench, clock, share: {"as ever": [1.0], "compiled": [0.5]})
    shape = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 16}
    gpu.main(gpu.Size({"BERT 1 × 16": shape}, rows=8, length=8, batch=4, rounds=1), seconds=120)
    said = capsys.readouterr().out
    assert "its figures are from no card" in said and said.rstrip().endswith("seconds.")
    parts = measure.results_of(["gpu"])["gpu"]["parts"]
    assert len(parts) == 5 and all("seconds" in row for rows in parts.values() for row in rows)
    assert all(row["of_peak"] == "unknown" for row in parts["train, BERT 1 × 16"])
