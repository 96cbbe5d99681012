"""Exercises that are handed out, handed in and graded: also answers that are wrong, crash, never end, or cheat."""

import copy
import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine.messages import message
from ftcourse.exercises import Checker, conditions
from ftcourse.grading import carry
from ftcourse.grading.judge import ALL_FENCES, Judge
from ftcourse.grading.marks import grade
from ftcourse.grading.notebooks import ELSEWHERE, hand_in, make_assignment
from ftcourse.grading.worker import Judged, Learner
from tests.test_exercises import SOLUTION, cells
from tests.tiny import same_weights, tiny_checkpoint
from tools.settings import ROOT, chapters, languages

CI = os.environ.get("CI") == "true"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux") and not CI, reason="answers are graded on Linux")
CHAPTER, LANG, SECONDS = "00_start", "ar", 5
# Each tries to be graded right without an answer.
CHEATS = {
    "checker": "import ftcourse.exercises as e\ne.Checker.__call__ = lambda *_, **__: e.Verdict(True, 'Right.')\n"
    "e.failure = lambda *_, **__: None\ncheck = lambda *_, **__: e.Verdict(True, 'Right.')\nnum_labels = 7",
    "conditions": "from ftcourse.exercises import start\nstart.CONDITIONS[1]['number'] = lambda n: True\n"
    "check.exercises[1]['number'] = lambda n: True\nnum_labels = 7",
    "equal": "class Two(int):\n    __eq__ = lambda self, other: True\n    __hash__ = int.__hash__\nnum_labels = Two(7)",
    "printed": 'print(\'{"verdicts": {"1": [true, "Right."]}}\')\nimport os\nfor n in range(3, 60):\n    try:\n'
    "        os.write(n, b'[true, \"Right.\", false]')\n    except OSError:\n        pass\nnum_labels = 7",
    "marks": "from pathlib import Path\nimport ftcourse.exercises.start as s\n"
    "Path(s.__file__).write_text('')\nnum_labels = 7",
    "judge": "import os, signal\nfor n in range(1, 99999):\n    try:\n        n == os.getpid() or os.kill(n, 9)\n"
    "    except OSError:\n        pass\nnum_labels = 7",
    "pickle": "class Bomb:\n    def __reduce__(self):\n        return (int, ('2',))\nnum_labels = Bomb()",
}


def say(key: str, **values) -> str:
    return message(LANG, "grading", key, **values)


def answered(answers: dict[int, str], chapter: str = CHAPTER, lang: str = LANG) -> dict:
    """An assignment with answers in it."""
    notebook = copy.deepcopy(make_assignment(chapter, lang))
    for cell in notebook["cells"]:
        if (part := re.fullmatch(r"answer-(\d+)", cell["id"])) and int(part[1]) in answers:
            cell["source"] = answers[int(part[1])]
    return notebook


def solutions(chapter: str, lang: str = "en") -> dict[int, str]:
    by_id = cells(lang, chapter)
    return {n: SOLUTION.findall(by_id[f"solution-{n}"].source)[0] for n in conditions(chapter)}


def put(folder, learner: str, notebook: object, chapter: str = CHAPTER):
    path = folder / "submitted" / learner / chapter / f"{chapter}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(notebook if isinstance(notebook, str) else json.dumps(notebook), encoding="utf-8")
    return path


def table(folder) -> dict[str, list[str]]:
    with open(folder / "marks.csv", encoding="utf-8-sig", newline="") as file:
        return {row[0]: row[1:] for row in csv.reader(file)}


MARKS = {
    "right": "222",
    "stubs": "000",
    "wrong": "000",
    "raises": "022",
    "crashes": "202",
    "fills": "202",
    "endless": "022",
    "lost-one": "202",
    "bare": "222",
    "network": "200",
    "neighbour": "200",
    "halves": "000",
    "\\udcc0\\udcee": "200",
    "again": "222",
} | {f"cheats-{name}": "000" for name in CHEATS}


def test_good_bad_unlucky_and_cheating_learners(tmp_path):
    """They write Arabic, and are graded once, by a teacher who reads English."""
    folder, right = tmp_path, solutions(CHAPTER, LANG)
    put(folder, "right", answered(right))
    put(folder, "stubs", answered({}))
    put(folder, "wrong", answered({1: "num_labels = 5", 2: "five_texts = ['good'] * 5", 3: "broken = text"}))
    put(folder, "raises", answered({1: "num_labels = 1 / 0", 2: right[2], 3: right[3]}))
    put(folder, "crashes", answered({1: right[1], 2: "import os\nos._exit(0)", 3: right[3]}))
    put(folder, "fills", answered({1: right[1], 2: "five_texts = bytearray(5 << 30)", 3: right[3]}))
    put(folder, "endless", answered({1: "while True:\n    pass", 2: right[2], 3: right[3]}))
    for name, source in CHEATS.items():
        put(folder, f"cheats-{name}", answered({1: source}))
    network = "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 1), 1)\n"
    network += "except OSError as error:\n    num_labels = 2 if error.errno in (101, 111) else error.errno"
    put(folder, "network", answered({1: network}))
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(folder / "door"))
    door.listen()
    knock = f"import socket\ntry:\n    socket.socket(socket.AF_UNIX).connect({str(folder / 'door')!r})\n"
    put(folder, "neighbour", answered({1: f"{knock}except PermissionError:\n    num_labels = 2"}))
    put(folder, "halves", answered({1: "raise ValueError('\\ud800')"}))
    put(folder, os.fsdecode("\u674e".encode("gbk")), answered({1: "num_labels = 2"}))
    again = answered(right)
    first = next(place for place, cell in enumerate(again["cells"]) if cell["id"] == "answer-1")
    again["cells"].insert(first, copy.deepcopy(again["cells"][first]) | {"source": "num_labels = 1 / 0", "id": "mine"})
    put(folder, "again", again)
    lost = answered(right)
    lost["cells"] = [cell for cell in lost["cells"] if cell["id"] not in ("answer-2", "check-1")]
    put(folder, "lost-one", lost)
    bare = answered(right)
    for cell in bare["cells"]:
        cell["metadata"].pop("nbgrader")
    bare["cells"].insert(-8, {"cell_type": "code", "id": "mine", "metadata": {}, "source": "mine = 1", "outputs": []})
    put(folder, "bare", bare)
    put(folder, "lost-all", answered(right) | {"cells": []})
    put(folder, "photo", "\x89PNG no notebook")
    put(folder, "=cmd", answered({1: "num_labels = 2"}))
    before = {path: path.read_bytes() for path in folder.rglob("*.ipynb")}
    result = CliRunner().invoke(app, ["grade", str(folder), "--seconds", str(SECONDS)])
    assert result.exit_code == 0, result.output
    assert {path: path.read_bytes() for path in before} == before
    found = table(folder)
    assert {learner: "".join(found[learner][:3]) for learner in MARKS} == MARKS, result.output
    what_cannot_be_graded_is_said(folder, result.output)
    feedback_says_what_is_wrong_in_the_learners_language(folder)


def what_cannot_be_graded_is_said(folder: Path, output: str) -> None:
    assert "photo: not graded: '00_start.ipynb' is not a notebook" in output
    assert "lost-all: not graded: '00_start.ipynb' has lost its answer cells" in output
    assert "is not a notebook" in table(folder)["photo"][-1] and table(folder)["photo"][0] == ""
    assert table(folder)["'=cmd"][:3] == ["2", "0", "0"]  # no formula for the spreadsheet
    assert "without these fences" not in output or not CI


def feedback_says_what_is_wrong_in_the_learners_language(folder: Path) -> None:
    pages = {path.parent.name: path.read_text(encoding="utf-8") for path in folder.glob("feedback/*/*.html")}
    assert all('dir="rtl"' in page for page in pages.values())
    assert message(LANG, CHAPTER, "1.number", given="5") in pages["wrong"]
    assert say("exercise", number=1, points=0, of=2) in pages["wrong"]
    assert "ZeroDivisionError" in pages["raises"] and say("endless", seconds=SECONDS) in pages["endless"]
    assert say("crashed") in pages["crashes"] and "MemoryError" in pages["fills"]
    assert say("lost") in pages["lost-one"] and say("open_by_hand", of=2) in pages["right"]
    assert len(pages) == len(table(folder)) - 3


@pytest.mark.parametrize("chapter", chapters())
@pytest.mark.parametrize("lang", languages())
def test_an_assignment_is_a_notebook_in_nbgraders_format(chapter, lang):
    notebook = nbformat.from_dict(make_assignment(chapter, lang))
    nbformat.validate(notebook)
    data = [cell.metadata.nbgrader for cell in notebook.cells]
    assert len({one.grade_id for one in data}) == len(data)
    by_hand = chapter in ELSEWHERE
    graded = {one.grade_id for one in data if one.grade and not one.solution}
    assert graded == (set() if by_hand else {f"check-{n}" for n in conditions(chapter)})
    assert all(one.points == 2 and not (one.locked and one.solution) for one in data if one.grade)
    text = json.dumps(notebook)
    for solution in solutions(chapter, lang).values():
        assert json.dumps(solution)[1:-1] not in text


@pytest.mark.long
def test_nbgrader_itself_hands_out_and_grades(tmp_path):
    """nbgrader makes the release, and its `autograde` takes the verdicts of the sandbox into the gradebook."""
    if find_spec("nbgrader") is None and not CI:
        pytest.skip('needs nbgrader: pip install "ftcourse[class]"')
    chapter, right = "01_pipeline", {2: 'no_opinion = "!!!"', 3: "position = -1"}
    call = ["assignment", chapter, "--folder", str(tmp_path)]
    assert CliRunner().invoke(app, call).exit_code == 0
    env = os.environ | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path / "jupyter")}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])

    def nbgrader(*words: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *words], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-3000:]

    nbgrader("generate_assignment", chapter)
    released = json.loads((tmp_path / "release" / chapter / f"{chapter}.ipynb").read_text(encoding="utf-8"))
    for cell in released["cells"]:
        if (part := re.fullmatch(r"answer-(\d+)", cell["metadata"]["nbgrader"]["grade_id"])) and int(part[1]) in right:
            cell["source"] = right[int(part[1])]
    put(tmp_path, "maha", released, chapter)
    nbgrader("autograde", chapter)
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as book:
        grades = book.find_submission_notebook(chapter, chapter, "maha").grades
        scores = {grade.name: grade.auto_score for grade in grades if grade.name.startswith("check")}
    assert scores == {"check-1": 0, "check-2": 2, "check-3": 0}


def test_the_command_writes_it_once(tmp_path):
    call = ["assignment", "05_trainer", "--lang", "ar", "--folder", str(tmp_path)]
    assert CliRunner().invoke(app, call).exit_code == 0
    path = tmp_path / "source" / "05_trainer" / "05_trainer.ipynb"
    handed = hand_in(path, "maha", "en")
    assert (handed.chapter, handed.lang, handed.lacks) == ("05_trainer", "ar", [])
    assert [step[:2] for step in handed.steps] == [(kind, n) for n in (1, 2, 3) for kind in ("answer", "check")]
    assert CliRunner().invoke(app, call).exit_code == 2
    assert CliRunner().invoke(app, [*call, "--force"]).exit_code == 0
    unknown = CliRunner().invoke(app, ["assignment", "99_none", "--folder", str(tmp_path)])
    assert unknown.exit_code == 2 and "05_trainer" in unknown.output


def test_an_empty_folder_is_said(tmp_path):
    result = CliRunner().invoke(app, ["grade", str(tmp_path)])
    assert result.exit_code == 2 and "no notebooks" in result.output


def test_what_is_no_message_is_refused():
    for tree in ({"kind": "bomb"}, {"kind": "array", "blob": 3}, {}, [1], {"kind": "__init__"}):
        with pytest.raises(carry.Gone):
            carry.Unpacker([]).unpack(tree)


def carried(value: object, known: dict | None = None) -> object:
    """A value after its way through bytes."""
    ours, theirs = socket.socketpair()
    packer = carry.Packer({id(one): name for name, one in (known or {}).items()})
    tree = packer.pack(value)
    with ours, theirs, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(carry.send, ours, tree, packer.blobs)
        tree, blobs = carry.receive(theirs, time.monotonic() + 20)
        sent.result()
    return carry.Unpacker(blobs, known).unpack(tree)


def test_values_arrive_as_they_were():
    for value in (None, True, 3, "كبسة", 0.5, ..., b"a", [1, (2, {3})], {"a": {4: 5}}, np.int64(3), np.float32(0.5)):
        assert carried(value) == value and type(carried(value)) is type(value)
    assert np.array_equal(carried(np.arange(6.0).reshape(2, 3)), np.arange(6.0).reshape(2, 3))
    assert torch.equal(carried(torch.ones(2, dtype=torch.int64)), torch.ones(2, dtype=torch.int64))
    frame = pd.DataFrame({"text": ["a", "好"], "label": [1, 2]})
    assert carried(frame).equals(frame) and carried(frame["label"]).tolist() == [1, 2]
    rows = Dataset.from_pandas(frame).class_encode_column("label")
    assert carried(rows).features == rows.features and carried(rows)[:] == rows[:]
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    assert carried(image).tobytes() == image.tobytes() and carried(image).size == (4, 3)


def test_a_model_and_a_tokenizer_arrive_as_they_were(tmp_path):
    folder = tiny_checkpoint(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    model.base_model.requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    there, words = carried(model), carried(tokenizer)
    inputs = words(["good food"], return_tensors="pt")
    assert torch.equal(inputs["input_ids"], tokenizer(["good food"], return_tensors="pt")["input_ids"])
    assert same_weights(there, model)
    torch.testing.assert_close(there.eval()(**inputs).logits, model.eval()(**inputs).logits)
    assert [w.requires_grad for w in there.parameters()] == [w.requires_grad for w in model.parameters()]
    assert carried(model, {"model": model}) is model  # the very model of the chapter is known again


def test_of_what_cannot_be_carried_only_the_name_arrives():
    class Sly:
        def __reduce__(self):
            return (exec, ("raise SystemExit",))

    assert type(carried(Sly())).__name__ == "Sly" and carried(Sly()) is not Sly


@pytest.fixture
def away():
    """Calls functions of an answer as a check does."""
    ours, theirs = socket.socketpair()
    shell = SimpleNamespace(user_ns={})
    thread = Thread(target=Learner(theirs, shell, {}).serve, daemon=True)
    thread.start()
    with ours:
        yield (
            lambda answer, seconds=20: (
                shell.user_ns.update(answer=answer) or Judged(ours, {}, time.monotonic() + seconds).answer("answer")
            )
        )
    thread.join(20)
    theirs.close()


def test_functions_are_called_where_they_are(away):
    assert away(lambda a, b=1: [a.sum(), b])(np.arange(3), b="x") == [3, "x"]
    with pytest.raises(ZeroDivisionError, match="division"):
        away(lambda: 1 / 0)()
    with pytest.raises(TimeoutError):
        away(lambda: time.sleep(1.5), seconds=0.5)()


def test_a_training_step_is_watched_from_outside(away):
    def step(model, batch, optimizer):
        loss = model(**batch).loss
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()
        return loss

    check = Checker("en", "06_loop")
    assert check(2, away(step)).solved
    assert not check(2, away(lambda model, batch, optimizer: None)).solved
    assert not check(2, away(lambda model, batch, optimizer: model.__class__)).solved


@pytest.mark.long
@pytest.mark.parametrize("chapter", [chapter for chapter in chapters() if chapter not in ELSEWHERE])
def test_the_solutions_of_each_chapter_get_all_points(chapter, tmp_path):
    path = put(tmp_path, "right", answered(solutions(chapter), chapter, "en"), chapter)
    with Judge(chapter, "en") as judge:
        found = judge.judge(hand_in(path, "right", "en"))
    assert all(found.solved.values()), found.texts
    assert {*judge.fences} == ALL_FENCES or not CI
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize(
    "place", ["Ahmed Ali_12345_assignsubmission_file_/00_start", "07_ali/00_start", "00_start_ali"]
)
def test_a_chapter_is_known_by_its_name_wherever_that_stands(tmp_path, place):
    path = tmp_path / f"{place}.ipynb"
    path.parent.mkdir(exist_ok=True)
    notebook = answered({1: "num_labels = 2"})
    notebook["metadata"].pop("ftcourse")
    path.write_text(json.dumps(notebook))
    assert hand_in(path, "ali", LANG).chapter == CHAPTER


def test_a_chapter_that_cannot_be_prepared_costs_no_other_its_marks(tmp_path, monkeypatch):
    put(tmp_path, "maha", answered({1: "num_labels = 2"}))
    put(tmp_path, "lin", make_assignment("10_keras", LANG), "10_keras")
    start = Judge.start

    def no_keras(self):
        if self.chapter == "10_keras":
            raise RuntimeError("Keras is not here")
        start(self)

    monkeypatch.setattr(Judge, "start", no_keras)
    told = []
    grade(tmp_path, LANG, SECONDS, 2_000_000_000, told.append)
    found = table(tmp_path)
    assert (
        found["maha"][:3] == ["2", "0", "0"] and found["lin"][-1] == "Keras is not here" and "Keras is not here" in told
    )
    (tmp_path / "submitted" / "maha" / CHAPTER / f"{CHAPTER}.ipynb").unlink()
    with pytest.raises(RuntimeError, match="Keras is not here"):
        grade(tmp_path, LANG, SECONDS, 2_000_000_000, told.append)


def test_missing_fences_are_told_before_anybody_is_judged(tmp_path, monkeypatch):
    put(tmp_path, "maha", answered({1: "num_labels = 2"}))
    monkeypatch.setattr("ftcourse.grading.judge.ALL_FENCES", {"network", "processes", "files", "moat"})
    told = []
    monkeypatch.setattr("ftcourse.grading.marks.unfenced", lambda judge: f"without {judge.missing}")
    grade(tmp_path, LANG, SECONDS, 2_000_000_000, told.append)
    assert "without ['moat']" in told[:2]


def test_a_name_of_a_chapter_that_no_file_can_have_is_none(tmp_path):
    notebook = answered({1: "num_labels = 2"})
    notebook["metadata"]["ftcourse"]["assignment"] = "a" * 300
    path = put(tmp_path, "maha", notebook)
    with pytest.raises(ValueError, match="aaa"):
        hand_in(path, "maha", LANG)
