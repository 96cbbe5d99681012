"""The course's runner: what it writes, and what it leaves behind when it is stopped."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from tests.tiny import heed_interrupts
from tools import learn
from tools.settings import BUILD, ROOT


def test_an_unknown_chapter_or_language_is_told_the_known_ones(capsys):
    assert learn.main(["--chapter", "99_none"]) == 2
    assert "unknown chapter '99_none'; known: 00_start" in capsys.readouterr().err
    assert learn.main(["--lang", "tlh"]) == 2
    assert "unknown language 'tlh'; known: en" in capsys.readouterr().err


def test_a_notebook_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    target = tmp_path / "out" / "a.ipynb"
    nb = nbformat.v4.new_notebook()
    learn.write_notebook(nb, target)
    before = target.read_bytes()

    def full_disk(nb, path):
        path.write_text("{")
        raise OSError("no space left on device")

    monkeypatch.setattr(learn.nbformat, "write", full_disk)
    with pytest.raises(OSError, match="no space left"):
        learn.write_notebook(nb, target)
    assert [p.name for p in target.parent.iterdir()] == ["a.ipynb"] and target.read_bytes() == before


def test_the_key_figure_is_the_text_of_the_tagged_cell():
    output = nbformat.v4.new_output("execute_result", data={"text/plain": "'tuned 0.80\\n'"})
    cell = nbformat.v4.new_code_cell("figure", outputs=[output], metadata={"tags": ["key-figure"]})
    assert learn.key_figure(nbformat.v4.new_notebook(cells=[cell])) == "tuned 0.80\\n"
    assert learn.key_figure(nbformat.v4.new_notebook()) == ""


def test_ctrl_c_leaves_nothing_half_written():
    command = [sys.executable, "-m", "tools.learn", "--chapter", "05_trainer"]
    target = BUILD / "learn" / "en"
    before = {p: p.stat().st_mtime_ns for p in target.glob("*")}
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    )
    deadline = time.monotonic() + 60
    while not (kernels := children(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.5)
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "stopped; 0 of 1 chapters are done" in errors
    assert "Traceback" not in errors
    assert {p: p.stat().st_mtime_ns for p in target.glob("*")} == before
    assert kernels and not [pid for pid in kernels if os.path.exists(f"/proc/{pid}")]


def children(pid: int) -> list[str]:
    """Processes started by any thread of a process."""
    return [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def test_a_changed_text_is_told_unless_it_is_a_timing():
    def shown(text, tags=()):
        output = nbformat.v4.new_output("execute_result", {"text/plain": text})
        cell = nbformat.v4.new_code_cell("x", id="look", outputs=[output], metadata={"tags": list(tags)})
        return nbformat.v4.new_notebook(cells=[cell])

    assert learn.changed_outputs(shown("1"), shown("1")) == []
    assert learn.changed_outputs(shown("1"), shown("2")) == ["look"]
    assert learn.changed_outputs(shown("1"), shown("2", ["timing"])) == []


def test_the_verdict_on_an_exercise_is_not_kept():
    def cell(name):
        output = nbformat.v4.new_output("execute_result", {"text/plain": "✗"})
        return nbformat.v4.new_code_cell("x", id=name, outputs=[output], execution_count=1)

    nb = learn.without_verdicts(nbformat.v4.new_notebook(cells=[cell("check-1"), cell("check-dataset")]))
    assert [len(cell.outputs) for cell in nb.cells] == [0, 1]
