"""`ftcourse predict` in several processes: the bytes of one, whatever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
import pytest

from ftcourse.engine.answers import TOGETHER, Asked, answers_to_file, join, part_of
from ftcourse.engine.shards import write_shards
from ftcourse.engine.tables import TableFile
from ftcourse.inference import Predictor
from tests.test_answers import ENVIRONMENT, ask
from tests.tiny import heed_interrupts, tiny_checkpoint
from tools.settings import ROOT

ROWS = 4500
POISON = "poisoned food"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A tiny model, a table with two texts that end the process of a `Fragile` one, and the answers of one process."""
    folder = tmp_path_factory.mktemp("shards")
    tiny_checkpoint(folder / "tiny")
    texts = [f"=food {number}" for number in range(ROWS)]
    texts[10], texts[20], texts[2500] = None, "", POISON
    pd.DataFrame({"id": range(ROWS), "review": texts}).to_csv(folder / "new.csv", index=False)
    answers_to_file(Predictor, folder / "tiny", asked(folder), folder / "whole.csv")
    return folder


def asked(folder, name: str = "new.csv") -> Asked:
    return Asked(TableFile(folder / name), ["review"], keep=["id"])


class Fragile(Predictor):
    """A predictor that notes what it was asked, and dies at a certain text, as often as there are lives to take."""

    def __init__(self, model, **how):
        super().__init__(model, **how)
        self.folder = Path(model).parent

    def predict(self, texts, pairs=None):
        with open(self.folder / "asked", "a") as file:
            file.write(f"{texts[0]}\n")
        if POISON in texts and (lives := sorted(self.folder.glob("life-*"))):
            lives[0].unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().predict(texts, pairs)


def in_two(load, place, out, name="new.csv"):
    return answers_to_file(load, place / "tiny", asked(place, name), out, partial(write_shards, number=2))


def test_a_shard_whose_process_is_killed_is_done_again_and_no_other_one(place, tmp_path):
    (place / "life-1").touch()
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        counts, source = in_two(Fragile, place, tmp_path / "a.csv")
    assert ["rows 2001 to 3000 of 'new.csv'" in str(note.message) for note in notes] == [True]
    assert (counts["rows"], counts["answered"]) == (ROWS, ROWS - 2) and source["name"] == "new.csv"
    shards = [f"=food {start}" for start in range(0, ROWS, TOGETHER)]
    assert sorted((place / "asked").read_text().splitlines()) == sorted([*shards, "=food 2000"])
    assert (tmp_path / "a.csv").read_bytes() == (place / "whole.csv").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_shard_that_ends_two_processes_is_named_and_all_others_are_kept(place, tmp_path):
    for number in (1, 2):
        (place / f"life-{number}").touch()
    with warnings.catch_warnings(), pytest.raises(RuntimeError, match="2001 to 3000 of 'new.csv' ended two processes"):
        warnings.simplefilter("ignore")
        in_two(Fragile, place, tmp_path / "a.csv")
    part = part_of(tmp_path / "a.csv", place / "tiny", asked(place))
    assert join(part)["rows"] == 2000  # a run of one process goes on from here
    answers_to_file(Predictor, place / "tiny", asked(place), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_bytes() == (place / "whole.csv").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_measured_precision_is_that_of_all_processes_and_of_who_goes_on(place, tmp_path, monkeypatch):
    jobs, precisions, calls = [], [], []

    class Stops(Predictor):
        def predict(self, *texts):
            found = super().predict(*texts)
            precisions.append(self.precision)
            calls.append(len(calls))
            if calls[-1] == 2:  # after those to measure with, and a thousand rows
                raise KeyboardInterrupt
            return found

    def crew(number, *job):
        jobs.append(job)
        raise KeyboardInterrupt

    want = Asked(TableFile(place / "new.csv"), ["review"], how={"precision": "auto"})
    ask = partial(answers_to_file, Stops, place / "tiny", want, tmp_path / "a.csv")
    for found in ("bf16", "no"):
        monkeypatch.setattr("ftcourse.engine.forward.faster_precision", lambda *_, found=found: found)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("ftcourse.engine.shards.Crew", crew)
            ask(partial(write_shards, number=2) if found == "no" else None)
    assert jobs[0][2]["precision"] == "bf16"
    assert ask()[0]["rows"] == ROWS and {*precisions} == {"bf16"}
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_what_goes_wrong_in_a_process_is_told_in_one_line_and_a_pipe_takes_one(place, tmp_path):
    words = ("--text", "review", "--out")
    said = ask("predict", tmp_path, place / "new.csv", *words, tmp_path / "a.csv", "--num-processes", 2, code=2).output
    assert len(said.splitlines()) == 1 and not (tmp_path / "a.csv").exists()
    said = ask("predict", place / "tiny", place / "new.csv", *words, "-", "--num-processes", 2, code=2).output
    assert "--num-processes writes to a file" in said


# stopped


def begun(words: list, out: Path) -> subprocess.Popen:
    """The command line in a group of processes of its own, that has written some of its answers."""
    command = [sys.executable, "-m", "ftcourse.cli", *map(str, words)]
    how = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True, "preexec_fn": heed_interrupts}
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, **how)
    while process.poll() is None and not written(out):
        time.sleep(0.01)
    return process


def written(out: Path) -> int:
    counts = [json.loads(path.read_text(encoding="utf-8"))["rows"] for path in out.parent.glob(".a.csv.*[0-9a-f].json")]
    return max(counts, default=0)


def gone(processes: list[psutil.Process]) -> bool:
    """Whether processes have ended, at the latest within some seconds."""
    return not [one for one in psutil.wait_procs(processes, timeout=10)[1] if one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.long
@pytest.mark.parametrize("stop", ["interrupt", "kill"])
def test_stopped_by_ctrl_c_or_a_kill_no_process_stays_and_the_same_call_goes_on(place, tmp_path, stop):
    size, out = 60_000, tmp_path / "a.csv"
    pd.DataFrame({"id": range(size), "review": [f"food {n}" for n in range(size)]}).to_csv(place / "long.csv")
    words = ["predict", place / "tiny", place / "long.csv", "--text", "review", "--keep", "id"]
    two = [*words, "--out", out, "--num-processes", 2]
    process = begun(two, out)
    family = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT) if stop == "interrupt" else process.kill()
    errors = process.communicate()[1]
    assert gone(family) and len(family) >= 3
    assert 0 < written(out) < size and not out.exists()
    if stop == "interrupt":
        assert errors.splitlines() == [
            "Stopped. Answers that are written are kept: the same command goes on from there."
        ]
    ask(*two)
    ask(*words, "--out", tmp_path / "whole.csv")
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "whole.csv"]


def peak(words: list) -> int:
    """The most memory that the command line and all its processes have for themselves at one time, in bytes."""
    command, most = [sys.executable, "-m", "ftcourse.cli", *map(str, words)], 0
    process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(psutil.Error):
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            most = max(most, sum(one.memory_full_info().uss for one in family))
        time.sleep(0.05)
    assert process.returncode == 0
    return most


@pytest.mark.long
def test_ten_times_the_rows_take_as_much_memory_in_all_processes_together(place, tmp_path):
    found = []
    for size in (5000, 50_000):
        texts = [f"{n} a review of some length, written for this test and for nothing else" for n in range(size)]
        pd.DataFrame({"id": range(size), "review": texts}).to_csv(tmp_path / "big.csv", index=False)
        words = ["predict", place / "tiny", tmp_path / "big.csv", "--text", "review", "--keep", "all", "--force"]
        found.append(peak([*words, "--out", tmp_path / "out.csv", "--num-processes", 2]))
    assert found[1] < 1.1 * found[0]
