"""From tables of all kinds to a model, a report, and messages that say what is wrong."""

import codecs
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import evaluate
import numpy as np
import pandas as pd
import pytest
import torch
from datasets import ClassLabel, Dataset, DatasetDict, load_from_disk
from huggingface_hub import constants
from transformers import AutoModelForSequenceClassification, AutoTokenizer, EvalPrediction, pipeline

from ftcourse import finetune as chapter
from ftcourse.engine.answers import Asked, open_rows
from ftcourse.engine.cleaning import check_letters, label_order, prepare, row_keys, sort_rows
from ftcourse.engine.encodings import find_encoding
from ftcourse.engine.folders import MARK, work_folder
from ftcourse.engine.hub import OFFLINE_SWITCHES, not_waiting
from ftcourse.engine.metrics import best_metric
from ftcourse.engine.models import start_model
from ftcourse.engine.progress import in_terminal, watched
from ftcourse.engine.report import load_report
from ftcourse.engine.tables import TableFile
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig
from ftcourse.model import classifier
from ftcourse.trainer import fit_trainer, metrics_for
from tests.rows import plain_texts
from tests.tiny import tiny_checkpoint, wild_table
from tools.settings import ROOT

WILD = {"en": ("cp1252", "utf-8-sig", "utf-16"), "ar": ("cp1256", "utf-8"), "zh": ("gb18030", "utf-8-sig")}
DROPPED = {"no_text": 60, "no_label": 20, "duplicate": 100, "contradiction": 20}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def frame() -> pd.DataFrame:
    """Forty reviews, half good and half bad, and a column of numbers."""
    texts = [f"{word} food, visit {n}" for n in range(20) for word in ("good", "bad")]
    return pd.DataFrame({"review": texts, "stars": ["good", "bad"] * 20, "id": range(40)})


@pytest.mark.parametrize(("lang", "encoding"), [(lang, one) for lang, known in WILD.items() for one in known])
def test_a_wild_csv_trains_without_hand_work(call, tmp_path, lang, encoding):
    wild = wild_table(lang, 4000)
    separator = ";" if encoding == "utf-8" else ","
    wild.to_csv(tmp_path / "wild.csv", index=False, encoding=encoding, sep=separator)
    call(tmp_path / "wild.csv", lang=lang)
    report = load_report(tmp_path / "out")
    assert {why: entry["count"] for why, entry in report.dropped.items()} == DROPPED
    assert report.read == len(wild) and report.source["encoding"] == encoding
    kept = sum(entry["train"] + entry["valid"] for entry in report.labels)
    assert kept == len(wild) - sum(DROPPED.values())
    assert report.names == ["0", "1", "2", "3", "4"] and report.balance_text()
    valid = sum(entry["valid"] for entry in report.labels)
    assert np.sum(report.confusion) == valid == round(kept * 0.1)
    assert np.trace(report.confusion) == report.right["tuned"]
    assert report.scores["tuned"]["accuracy"] == pytest.approx(report.right["tuned"] / valid)
    biggest = max(report.labels, key=lambda entry: entry["train"])
    assert report.right["majority"] == biggest["valid"]


@pytest.mark.parametrize("num_rows", [6_000, pytest.param(60_000, marks=pytest.mark.long)])
def test_a_large_table_needs_less_than_two_gigabytes(tiny, tmp_path, num_rows):
    wild_table("en", num_rows).to_csv(tmp_path / "wild.csv", index=False)
    code = (
        "import sys; from benchmarks.points import own_peak; from ftcourse.finetune import finetune\n"
        "from tests.tiny import FAST\n"
        "finetune('wild.csv', text='review', label='stars', model=sys.argv[1], output_dir='out', config=FAST)\n"
        "print(round(own_peak()))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", code, tiny], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout.split()[-1]) < 2000


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "xlsx"])
def test_every_format_gives_the_same_rows(frame, tmp_path, suffix):
    path = tmp_path / f"own.{suffix}"
    {
        "csv": lambda: frame.to_csv(path, index=False),
        "tsv": lambda: frame.to_csv(path, index=False, sep="\t"),
        "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        "parquet": lambda: frame.to_parquet(path),
        "xlsx": lambda: frame.to_excel(path, index=False),
    }[suffix]()
    columns = ["review", "stars"]
    found = prepare(path, columns, "en", 0.25, 0, str(tmp_path / "work"))
    wanted = prepare(frame, columns, "en", 0.25, 0, "")
    assert found.train[:] == wanted.train[:] and found.names == ["bad", "good"]
    assert prepare(Dataset.from_pandas(frame), columns, "en", 0.25, 0, "").valid[:] == wanted.valid[:]


def test_the_names_of_a_class_label_are_kept(frame):
    rows = Dataset.from_pandas(frame).cast_column("stars", ClassLabel(names=["good", "bad"]))
    assert prepare(rows, ["review", "stars"], "en", 0.25, 0, "").names == ["bad", "good"]


@pytest.mark.parametrize("labels", [[1, 2], [1.0, 2.0], ["1", "2"], [np.int8(1), np.int8(2)]])
def test_whole_numbers_are_labels_however_they_are_written(frame, labels):
    frame["stars"] = [*labels] * 20
    assert prepare(frame, ["review", "stars"], "en", 0.25, 0, "").names == ["1", "2"]


def test_no_text_is_in_both_parts(frame):
    doubled = pd.concat([frame, frame.assign(review=frame["review"] + "  ")])
    found = prepare(doubled, ["review", "stars"], "en", 0.25, 0, "")
    assert found.dropped["duplicate"]["count"] == 40
    assert not {*found.train["text"]} & {*found.valid["text"]}


def test_reasons_are_given_in_order_and_rows_are_counted_once():
    rows = Dataset.from_dict({"text": ["a", "a", "a", None, "b", "c"], "label": ["x", "x", "y", None, None, "x"]})
    groups = sort_rows(*row_keys(rows)[:2])
    assert sorted(row for group in groups.values() for row in group) == [*range(6)]
    assert groups["no_text"].tolist() == [3] and groups["no_label"].tolist() == [4]
    assert groups["duplicate"].tolist() == [1] and groups["contradiction"].tolist() == [0, 2]


def test_what_is_saved_loads_as_predictor_and_as_pipeline(call, frame, tmp_path):
    predictor = call(frame)
    texts = frame["review"].tolist()[:5]
    answers = predictor.predict(texts)
    again = Predictor(tmp_path / "out").predict(texts)
    assert again.labels == answers.labels and {*answers.labels} <= {"good", "bad"}
    piped = pipeline("text-classification", model=str(tmp_path / "out"))(texts)
    assert [answer["label"] for answer in piped] == answers.labels
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        MARK,
        "README.md",
        "config.json",
        "model.safetensors",
        "report.html",
        "report.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_card_has_data_figures_and_versions(call, frame, tmp_path):
    call(frame)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "40 rows were read" in card and f"torch {torch.__version__.split('+')[0]}" in card
    assert re.search(r"\| the tuned model \| \d\.\d+ \|", card) and "| good | 18 | 2 |" in card


@pytest.mark.parametrize("lang", ["en", "ar", "zh"])
def test_the_page_needs_nothing_else_and_runs_in_the_right_direction(call, frame, tmp_path, lang):
    call(frame, lang=lang)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert f'<html lang="{lang}" dir="{"rtl" if lang == "ar" else "ltr"}">' in page
    assert not re.findall(r'(?:src|href)="(?!data:)', page) and "<script" not in page and "<link" not in page
    assert "data:image/png;base64," in page


def test_html_in_texts_and_labels_is_shown_and_not_obeyed(call, frame, tmp_path):
    evil = "<script>alert(1)</script>"
    frame["review"] += evil
    frame.loc[0, "review"] = None
    frame["stars"] += evil
    call(frame.rename(columns={"review": evil}), text=evil, validation=0.5)
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert evil not in page and "&lt;script&gt;" in page
    assert evil not in load_report(tmp_path / "out")._repr_html_()


def test_a_model_that_does_not_beat_the_baseline_is_told_so(call, frame, tmp_path, capsys):
    call(frame, config=TrainConfig(epochs=1, lr=1e-9))
    report = load_report(tmp_path / "out")
    assert report.verdict == "not_beaten" and "does NOT beat the best baseline" in report.to_html()
    assert "does NOT beat" in capsys.readouterr().out


def test_verdicts_follow_from_the_answers():
    right, wrong = np.ones(50, bool), np.zeros(50, bool)
    assert chapter.judge(right, wrong) == "beaten"
    assert chapter.judge(wrong, right) == chapter.judge(right, right) == "not_beaten"
    assert chapter.judge(np.arange(50) < 1, wrong) == "close"


def test_pairs_of_texts(call, frame, tmp_path):
    frame["reply"] = frame["review"].str.upper()
    predictor = call(frame, text=["review", "reply"])
    assert len(predictor.predict(["good food"], ["GOOD FOOD"]).labels) == 1
    assert load_report(tmp_path / "out").source["columns"] == ["review", "reply", "stars"]
    with pytest.raises(ValueError, match=r"len\(texts\)=2, len\(pairs\)=1; expected one entry"):
        predictor.predict(["a", "b"], ["c"])


def test_own_metrics_are_in_the_report(call, frame, tmp_path):
    call(frame, metrics=lambda prediction: {"rows": len(prediction.label_ids)})
    assert load_report(tmp_path / "out").scores["tuned"] == {"rows": 4.0}


def test_a_model_without_a_padding_token_can_be_tuned(call, frame):
    assert call(frame, model=Kit().model("writer")).predict(["good food", "bad"]).labels


def test_a_model_with_another_head_can_be_tuned(call, frame):
    assert call(frame, model=Kit().model("stars")).model.config.num_labels == 2


@pytest.mark.parametrize("problem", ["multi_label_classification", "regression"])
def test_a_model_for_another_kind_of_answer_can_be_tuned(call, frame, tiny, tmp_path, problem):
    labels = 1 if problem == "regression" else 3
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny, problem_type=problem, num_labels=labels, ignore_mismatched_sizes=True
    )
    model.save_pretrained(tmp_path / "start")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "start")
    assert call(frame, model=tmp_path / "start").model.config.problem_type == "single_label_classification"


def test_a_model_in_half_precision_is_trained_in_full_and_answers_in_full(call, frame, tiny, tmp_path):
    AutoModelForSequenceClassification.from_pretrained(tiny, dtype=torch.bfloat16).save_pretrained(tmp_path / "half")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(tmp_path / "half")
    assert call(frame, model=tmp_path / "half").model.dtype == torch.float32
    predictor, texts = Predictor(tmp_path / "half"), ["Good food.", "Never again."]
    exact = AutoModelForSequenceClassification.from_pretrained(tmp_path / "half", dtype=torch.float32)
    assert predictor.model.dtype == torch.float32
    expected = Predictor(exact, predictor.tokenizer).predict(texts).probabilities
    assert np.array_equal(predictor.predict(texts).probabilities, expected)
    kinds = {}, {"dtype": "auto"}, {"torch_dtype": torch.bfloat16}
    found = [classifier(tmp_path / "half", ["a", "b"], ignore_mismatched_sizes=True, **kind).dtype for kind in kinds]
    assert found == [torch.float32, torch.bfloat16, torch.bfloat16]


def test_no_pickle_is_opened(call, frame, tiny, tmp_path):
    folder = tmp_path / "pickled"
    model = AutoModelForSequenceClassification.from_pretrained(tiny)
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    for load in (lambda: call(frame, model=folder), lambda: Predictor(folder), lambda: classifier(folder, ["a", "b"])):
        with pytest.raises((ValueError, OSError), match="safetensors"):
            load()


def test_no_code_of_a_model_is_run(call, frame, tiny, tmp_path, monkeypatch):
    folder, mark = tmp_path / "coded", tmp_path / "code was run"
    AutoModelForSequenceClassification.from_pretrained(tiny).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own",
        "auto_map": {"AutoConfig": "code.Own", "AutoModelForSequenceClassification": "code.M"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"open({str(mark)!r}, 'w')\n")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    for load in (lambda: call(frame, model=folder), lambda: Predictor(folder), lambda: classifier(folder, ["a", "b"])):
        with pytest.raises(ValueError, match="custom code"):
            load()
    assert not mark.exists()


def test_texts_that_are_too_long_are_counted(call, frame, tmp_path):
    call(frame.assign(review=frame["review"] + " and so on" * 30))
    report = load_report(tmp_path / "out")
    assert report.cut == {
        "rows": 40,
        "of": 40,
        "length": 64,
        "most": 64,
    } and "40 of the texts fill the 64 tokens" in str(report)
    assert "fill the 64 tokens" in report.card() and "fill the 64 tokens" in report.to_html()


def test_few_rows_a_label_are_not_called_many_labels(call):
    few = pd.DataFrame({"review": ["aa", "bb", "cc", "dd", "ee"], "stars": [*"xxxyy"]})
    with pytest.raises(ValueError, match="only 5 usable rows for 2 labels; expected 3 or more a label"):
        call(few)


def test_labels_that_only_look_like_numbers_are_names():
    assert label_order(["--5", "1"]) == ["--5", "1"] and label_order(["+2", "-1"]) == ["-1", "+2"]


def test_a_stopped_call_goes_on_and_ends_in_the_same_weights(call, frame, tmp_path):
    config = TrainConfig(epochs=3, batch_size=8, lr=5e-3, save_steps=2)
    asked = []

    def stop(prediction):
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return chapter.accuracy_f1(prediction)

    with pytest.raises(KeyboardInterrupt):
        call(frame, config=config, metrics=stop)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [MARK, "training"]
    with pytest.raises(FileExistsError, match="is not empty, and nothing is overwritten"):
        call(frame, config=config)
    resumed = call(frame, config=config, resume=True)
    whole = call(frame, config=config, output_dir=tmp_path / "whole")
    pairs = zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert load_report(tmp_path / "out").history["losses"] == load_report(tmp_path / "whole").history["losses"]


@pytest.mark.parametrize(("lang", "said"), [("ar", "ليس فارغًا"), ("zh", "不是空的"), ("zh-Hant", "不是空的")])
def test_a_folder_with_something_in_it_is_refused_in_the_readers_language(call, frame, tmp_path, lang, said):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=said):
        call(frame, lang=lang)


def test_resume_leaves_a_folder_alone_that_nothing_was_begun_in(call, frame, tmp_path):
    files = ["work/thesis.txt", "training/labels.csv", "README.md", "config.json"]
    for name in files:
        path = tmp_path / "out" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine", encoding="utf-8")
    for resume in (False, True):
        with pytest.raises(FileExistsError, match="choose another folder$"):
            call(frame, resume=resume)
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert found == sorted(files) and all((tmp_path / "out" / name).read_text() == "mine" for name in files)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"config": TrainConfig(epochs=1, batch_size=64, lr=5e-4)}, "begun with lr=0.005, not 0.0005"),
        ({"model": Kit().model("encoder")}, "begun with model="),
        ({"label": "id"}, "begun with columns="),
        ({"validation": 0.2}, "begun with validation=0.1, not 0.2"),
    ],
)
@pytest.mark.parametrize("stopped", [True, False])
def test_another_call_does_not_go_on_from_here(call, frame, changed, said, stopped):
    def stop(prediction):
        raise KeyboardInterrupt

    if stopped:
        with pytest.raises(KeyboardInterrupt):
            call(frame, metrics=stop)
    else:
        call(frame)
    with pytest.raises(ValueError, match=said):
        call(frame, resume=True, **changed)


def test_resuming_what_is_finished_trains_nothing(call, frame, monkeypatch):
    first = call(frame)
    monkeypatch.setattr(chapter, "train", None)
    assert call(frame, resume=True).predict(["good"]).labels == first.predict(["good"]).labels


@pytest.mark.parametrize("number", range(1, 8))
def test_a_full_disk_while_saving_loses_nothing(call, frame, tmp_path, monkeypatch, number):
    """The n-th move of a file fails; then there is room again."""
    replace = os.replace

    def limited(source, target):
        if "out/.part" in str(source):
            saved.append(target)
            if len(saved) == number:
                raise OSError(28, "No space left on device")
        replace(source, target)

    saved = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", limited)
        with pytest.raises(OSError, match="cannot be saved in .*: No space left on device; make room") as error:
            call(frame)
    assert "\n" not in str(error.value) and not (tmp_path / "out" / "report.json").exists()
    assert list((tmp_path / "out" / "training").glob("*.safetensors"))
    assert call(frame, resume=True).predict(["good"]).labels


def write(path, content) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def bad_tables(tmp_path, frame) -> dict:
    """By name: the table, what else is in the call, and the message that is expected."""

    def file(name, content):
        return write(tmp_path / name, content)

    good = frame.assign(half=pd.Series(["\ud800"] * 40, dtype=object))
    prices = ["ab"[number % 2] if number < 6 else f"{number}.5" for number in range(98)]
    texts = [f"text {number}" for number in range(98)]
    tripled = pd.concat([pd.DataFrame({"review": texts, "stars": prices})] * 3)
    return {
        "no table": (None, {}, "table is a NoneType; expected the path of a file"),
        "list": ([1], {}, "table is a list; expected the path"),
        "splits": (DatasetDict(train=Dataset.from_pandas(frame)), {}, "has the splits 'train'; pass one of them"),
        "no file": (tmp_path / "none.csv", {}, "there is no file '.*none.csv'; check its name"),
        "suffix": (file("a.docx", "x"), {}, "cannot tell the format of 'a.docx' by its suffix; known: .csv"),
        "no suffix": (file("reviews", "x"), {}, "cannot tell the format of 'reviews'"),
        "folder": ((tmp_path / "f.csv", (tmp_path / "f.csv").mkdir())[0], {}, "f.csv' is a folder; expected"),
        "empty": (file("e.csv", ""), {}, "'e.csv' is empty; expected a table with a row"),
        "only a header": (file("h.csv", "review,stars\n"), {}, "'h.csv' has no rows; expected a row"),
        "bytes": (file("b.csv", b"review,stars\nab\x81,1\n"), {}, "'b.csv', line 2, byte 3: cannot read the bytes 81"),
        "cells": (
            file("c.csv", "review,stars\na,1\nb,2,3\n"),
            {},
            "line 3: a row of 'c.csv' has more cells than the header",
        ),
        "quote": (file("q.csv", 'review,stars\n"a, x",1\n"b,2\n'), {}, "'q.csv', line 3: a quotation mark opens here"),
        "json": (
            file("j.jsonl", '{"review": "a", "stars": 1}\n{"review"\n'),
            {},
            "'j.jsonl', line 2, column 10: expected",
        ),
        "parquet": (file("p.parquet", b"PAR1 not really"), {}, "cannot read 'p.parquet': "),
        "excel": (file("x.xlsx", b"PK\x03\x04 not a workbook"), {}, "cannot read 'x.xlsx': "),
        "text column": (
            frame,
            {"text": "reviews"},
            "'table' has no column 'reviews'; its columns: 'review', 'stars'",
        ),
        "label column": (frame, {"label": "star"}, "'table' has no column 'star'"),
        "column in file": (
            file("n.csv", "a,b\n1,2\n"),
            {},
            "'n.csv' has no column 'review'; its first row reads 'a', 'b'. If that is data",
        ),
        "same column": (frame, {"label": "review"}, "'review' is named twice"),
        "text type": (frame, {"text": 3}, "text is 3; expected the name of a column"),
        "three texts": (frame, {"text": ["a", "b", "c"]}, "text is .*; expected the name of a column, or a pair"),
        "label type": (frame, {"label": None}, "label is None; expected the name of a column"),
        "numbers as texts": (frame, {"text": "id"}, "'table', row 1, column 'id': got 0; expected a text"),
        "numbers in a file": (
            file("d.csv", "price,stars\n" + "1.50,a\n2.50,b\n" * 9),
            {"text": "price"},
            "the column 'price' of 'd.csv' has no letters, only values such as '1.50'",
        ),
        "half a character": (good, {"text": "half"}, "row 1, column 'half': the text has half a character"),
        "broken stars": (frame.assign(stars=float("inf")), {}, "row 1, column 'stars': got inf; expected a label"),
        "lists of lists": (
            frame.assign(stars=[[[1]]] * 40),
            {},
            r"row 1, column 'stars': got \[\[1\]\]; expected a label",
        ),
        "all texts missing": (frame.assign(review=None), {}, "no row of 'table' can be used .no text: 40.; check"),
        "all labels missing": (frame.assign(stars=None), {}, "no row of 'table' can be used .no label: 40."),
        "all texts alike": (
            frame.assign(review="the same", stars="x"),
            {},
            "no row of 'table' can be used .an earlier row has the same text and label: 39",
        ),
        "prices in tripled rows": (
            tripled,
            {},
            "most labels in the column 'stars' of 'table' occur only once",
        ),
        "one label": (frame.assign(stars="x"), {}, "all usable rows of 'table' have the label 'x'; expected two"),
        "ids as labels": (frame, {"label": "id"}, "most labels in the column 'id' of 'table' occur only once"),
        "validation 0": (frame, {"validation": 0.0}, "validation is 0.0; expected a share of the rows above 0"),
        "validation 20": (frame, {"validation": 20}, "validation is 20; expected a share"),
        "few rows": (frame, {"validation": 0.99}, "40 usable rows with 2 labels cannot be split with validation=0.99"),
        "language": (frame, {"lang": "tlh"}, "unknown language 'tlh'; known: en, ar, zh, zh-Hant"),
        "output": (frame, {"output_dir": 7}, "output_dir is 7; expected the path of a folder"),
        "config": (frame, {"config": {"lr": 1}}, "config must be a TrainConfig, as in .*; got {'lr': 1}"),
        "metrics": (frame, {"metrics": "f1"}, "metrics must be a function, .*; got 'f1'"),
        "scores": (frame, {"metrics": lambda prediction: 0.5}, "metrics must return a dictionary of scores, got 0.5"),
        "no model": (frame, {"model": str(tmp_path / "no")}, "no model could be loaded from .*no': "),
        "no weights": (frame, {"model": str(tmp_path)}, "no model could be loaded from "),
    }


def test_bad_input_is_met_with_its_own_message(call, frame, tmp_path):
    cases, said, other = bad_tables(tmp_path, frame), {}, {}
    assert len(cases) >= 30
    for number, (name, (table, options, expected)) in enumerate(cases.items()):
        folder = tmp_path / f"out{number}"
        with pytest.raises(ValueError) as error:
            call(table, **({"output_dir": folder} | options))
        said[name] = str(error.value)
        if not re.search(expected, said[name]) or "\n" in said[name] or (folder / "report.json").exists():
            other[name] = said[name]
    assert not other
    assert len({*said.values()}) == len(cases)


def test_row_numbers_are_right_beyond_the_first_thousand(tmp_path):
    rows = Dataset.from_dict({"review": ["a"] * 2500, "stars": [1.0] * 2345 + [float("inf")] + [1.0] * 154})
    with pytest.raises(ValueError, match="row 2346, column 'stars': got inf"):
        prepare(rows, ["review", "stars"], "en", 0.1, 0, str(tmp_path))


def test_an_output_folder_that_is_a_file_is_refused(call, frame, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write to the folder"):
        call(frame, output_dir=tmp_path / "file")


def test_weights_in_a_pickle_are_not_read(call, frame, tmp_path, tiny):
    folder = tmp_path / "pickled"
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    config = json.loads((Path(tiny) / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ValueError, match="no model could be loaded from .*pickled.*safetensors"):
        call(frame, model=str(folder))


@pytest.mark.parametrize("content", ["text,label\nGood, really,1\nBad,0\n", "label,text\n1,Good, really good\n0,Bad\n"])
def test_a_row_with_more_cells_than_the_header_is_refused(call, tmp_path, content):
    path = write(tmp_path / "a.csv", content.encode())
    with pytest.raises(ValueError, match="a row of 'a.csv' has more cells than the header; .*quotes"):
        call(path, text="text", label="label")


def test_commas_in_the_only_column_belong_to_the_texts(tmp_path):
    path = write(tmp_path / "a.csv", b'text\nGood, really.\n"Bad, too."\n')
    assert plain_texts(path, ["text"], "en", str(tmp_path / "work"))["text"][:] == ["Good, really.", "Bad, too."]


def test_a_column_of_texts_named_twice_is_refused():
    with pytest.raises(ValueError, match="'review' is named twice"):
        open_rows(Asked(TableFile("new.csv"), ["review", "review"]), "")


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, codecs.BOM_UTF16_LE])
def test_a_mark_at_the_start_tells_the_encoding(tmp_path, mark):
    encoding = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le"}[mark]
    path = write(tmp_path / "a.csv", mark + "review,stars\nété,1\n".encode(encoding))
    assert find_encoding(path, "en") == {"utf-8": "utf-8-sig", "utf-16-le": "utf-16"}[encoding]


def test_a_name_on_a_hub_that_cannot_be_reached_is_told_at_once(call, frame, monkeypatch):
    """The libraries would ask again and again, and sleep in between."""

    def nowhere(*_):
        raise ConnectionError("no network")

    naps = []
    for switch in OFFLINE_SWITCHES:
        monkeypatch.setenv(switch, "0")
    monkeypatch.setattr("socket.socket.connect", nowhere)
    monkeypatch.setattr("time.sleep", naps.append)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(
        ValueError, match="no model could be loaded from 'google-bert/bert-base-cased': The .* Hub .* cannot"
    ):
        call(frame, model="google-bert/bert-base-cased")
    assert sum(naps) < 1


@pytest.mark.parametrize(("trouble", "asked"), [("It does not answer.", False), ("", True)])
def test_a_hub_that_does_not_answer_is_left_alone_while_a_model_is_loaded(trouble, asked, monkeypatch):
    for switch in OFFLINE_SWITCHES:
        monkeypatch.setenv(switch, "0")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "yes")  # as somebody asked, for data alone
    for switch in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setattr(f"datasets.config.{switch}", True)
    monkeypatch.setattr("ftcourse.engine.hub.hub_trouble", lambda: trouble)
    with pytest.raises(KeyError), not_waiting():
        assert constants.HF_HUB_OFFLINE is not asked
        raise KeyError
    assert constants.HF_HUB_OFFLINE is False
    assert os.environ["HF_DATASETS_OFFLINE"] == "yes" and datasets.config.HF_HUB_OFFLINE is True


def test_a_name_on_the_hub_beside_the_kit_says_how_to_switch_the_hub_on(call, frame):
    Kit()
    with pytest.raises(ValueError, match="'google-bert/bert-base-cased': .* switched off by the kit; Kit.*hub.* on"):
        call(frame, model="google-bert/bert-base-cased")
    with pytest.raises(ValueError, match="'google-bert/bert-base-cased'; .* switched off by the kit; Kit.*hub.* on"):
        Predictor("google-bert/bert-base-cased")


def test_a_call_that_trained_nothing_does_not_bind_the_next(call, frame, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr("ftcourse.loop.train_step", full)
        with pytest.raises(RuntimeError, match="out of memory"):
            call(frame)
    assert call(frame, config=TrainConfig(epochs=1, batch_size=8, lr=5e-3)).predict(["good"]).labels


def test_numbers_of_numpy_are_numbers(call, frame, tmp_path):
    call(frame, config=TrainConfig(epochs=np.int64(1), batch_size=64, lr=np.float32(5e-3)), validation=np.float64(0.1))
    assert load_report(tmp_path / "out").setting["epochs"] == 1
    call(frame, output_dir=tmp_path / "long", validation=np.float32(0.25), max_length=np.int64(32), windows=np.True_)
    assert json.loads((tmp_path / "long" / MARK).read_text())["max_length"] == 32


def error(found: EvalPrediction) -> dict[str, float]:
    """How far answers are off, in any kind of answers, and how many are right."""
    rows, truth = found.predictions, found.label_ids
    if rows.shape[-1] == 1:
        off = np.abs(rows - truth.reshape(-1, 1))
    else:
        off = (rows > 0) != (truth > 0.5) if truth.ndim == 2 else rows.argmax(axis=1) != truth
    return {"error": off.mean(), "right": 1 - off.mean(), "own_loss": off.mean()}


@pytest.mark.parametrize(
    ("labels", "number"),
    [([1.5, 2.0], 1), ([[1.5], [2.0]], 1), ([4, 7], 1), ([[1.0, 0.0], [0.0, 0.0]], 2), ([2, -100, 0], 3)],
)
def test_epochs_are_compared_by_a_score_that_says_the_better_one(labels, number):
    def only(*names):
        return best_metric(lambda found: {name: error(found)[name] for name in names}, labels, number)

    assert only("right") == only("error", "right") == only("right", "error") == "right"
    assert only("error") == "loss" and only("error", "own_loss", "right") == "own_loss"
    table = best_metric(lambda found: {"table": [[1]], str(found.predictions.tolist()): 1, "right": 1}, labels, number)
    assert table == "right"


def test_a_trainer_for_numbers_ends_with_the_best_epoch(tiny, tmp_path):
    model, tokenizer = start_model(tiny, ["stars"], 0, "regression")
    data = Dataset.from_dict({"input_ids": [[2, 5 + n, 3] for n in range(8)], "labels": [n / 2 for n in range(8)]})
    options = {"tokenizer": tokenizer, "output_dir": tmp_path, "epochs": 2, "lr": 0.01}
    state = fit_trainer(model, data, data, metrics=lambda found: {"mae": error(found)["error"]}, **options).state
    losses = [entry["eval_loss"] for entry in state.log_history if "eval_mae" in entry]
    assert len({*losses}) == 2 and state.best_metric == min(losses)


def test_options_of_combined_metrics_are_checked_before_training():
    accuracy, f1 = (evaluate.load(*Kit().metric(name)) for name in ("accuracy", "f1"))
    with pytest.raises(ValueError, match=r"none of the metrics takes \['average'\]"):
        metrics_for(evaluate.combine([accuracy, f1]), average="macro")
    prediction = EvalPrediction(np.eye(3)[[0, 1, 2]], np.array([0, 1, 1]))
    assert {*metrics_for(accuracy, f1, average="macro")(prediction)} == {"accuracy", "f1"}
    with pytest.raises(ValueError, match="problem_type"):
        classifier(Kit().model("encoder"), ["a", "b"], problem_type="regression")


def test_a_tokenizer_that_cannot_pad_is_refused():
    writer = Kit().model("writer")
    tokenizer = AutoTokenizer.from_pretrained(writer)
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="the tokenizer cannot pad"):
        Predictor(classifier(writer, ["a", "b"]), tokenizer)


def test_a_report_reaches_an_output_that_has_not_its_letters(call, frame, tmp_path, monkeypatch):
    """As on Windows, where a script writes into a file in the encoding of its country."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252", write_through=True))
    assert call(frame, lang="ar").predict(["good"]).labels
    assert b"\\u06" in written.getvalue()


def test_a_table_may_begin_with_texts_without_letters():
    source, rest = {"name": "table", "columns": ["review", "stars"]}, ["good"] * 300
    check_letters(Dataset.from_dict({"text": [f"+{n}" for n in range(100)] + rest}), source)
    with pytest.raises(ValueError, match="has no letters"):
        check_letters(Dataset.from_dict({"text": [f"+{n}" for n in range(400)]}), source)


def test_without_an_error_output_nobody_is_watching(monkeypatch):
    """As with `pythonw`."""
    monkeypatch.setattr(sys, "stderr", None)
    assert not watched() and not in_terminal()


def test_what_cannot_be_taken_away_yet_goes_when_the_program_ends(tmp_path, monkeypatch):
    late, rmtree = [], shutil.rmtree
    monkeypatch.setattr("atexit.register", lambda work, *values, **options: late.append((values, options)))
    with work_folder(tmp_path) as work:
        (Path(work) / "a.txt").parent.mkdir()
        (Path(work) / "a.txt").write_text("a")
        monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.undo()
    assert Path(work).exists() and len(late) == 1
    rmtree(*late[0][0], **late[0][1])
    assert not Path(work).exists()


def test_nothing_is_written_beside_the_data_of_others(frame, tmp_path):
    data, work = tmp_path / "data", tmp_path / "work"
    Dataset.from_pandas(frame).save_to_disk(data)
    before = {path.name for path in data.iterdir()}
    rows = load_from_disk(data)
    prepared = prepare(rows, ["review", "stars"], "en", 0.25, 0, str(work), group="id")
    asked = prepare(frame, ["review", "stars"], "en", 0.25, 0, str(work), group="id")
    assert rows.cache_files and {path.name for path in data.iterdir()} == before and [*work.glob("map-*/rows.arrow")]
    assert prepared.train["text"][:] == asked.train["text"][:]
