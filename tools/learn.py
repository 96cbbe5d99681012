"""Runs the chapters headless. `python -m tools.learn --lang en [--chapter 05_trainer] [--store]`

Executed notebooks go to build/learn/<lang>/, each in one move when it is whole; `--store` puts the outputs into the
notebooks under nbs/ instead, but for those of the cells `check-N`, and tells whose text is another than before. Ends
with a table: chapter, seconds, key figure (the text of the cell tagged `key-figure`).
"""

import argparse
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from ftcourse.cli import execute_aside
from ftcourse.engine.folders import written_whole
from tools.settings import BUILD, ROOT, chapters, notebook

TIMEOUT = 600  # seconds a cell
KEY_FIGURE = "key-figure"
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}  # threads that wait leave the cores to other notebooks


@dataclass(frozen=True)
class Result:
    """How a chapter's run ended."""

    chapter: str
    seconds: float
    key_figure: str


class Progress:
    """One line a chapter, rewritten after each cell where the output is a terminal."""

    def __init__(self, chapter: str, number: int):
        self.chapter, self.number, self.done = chapter, number, 0
        self.live = sys.stdout.isatty()
        if not self.live:
            print(f"{chapter}: ", end="", flush=True)

    def cell_done(self, **_) -> None:
        self.done += 1
        if self.live:
            filled = 20 * self.done // self.number
            print(f"\r{self.chapter:14} [{'#' * filled:20}] {self.done}/{self.number} cells", end="", flush=True)

    def close(self, text: str) -> None:
        print(f"  {text}" if self.live else f"{self.done}/{self.number} cells, {text}", flush=True)


def run_notebook(
    nb: nbformat.NotebookNode, directory: Path, progress: Progress | None = None, extra_path: str = ""
) -> None:
    """Executes a notebook in place, in `directory`, with `extra_path` first on the kernel's Python path.

    Raises `CellExecutionError` at the first cell that fails.
    """
    options = {"timeout": TIMEOUT, "record_timing": False, "extra_arguments": ["--log-level=ERROR"]}
    if progress:
        options["on_cell_executed"] = progress.cell_done
    client = NotebookClient(nb, resources={"metadata": {"path": str(directory)}}, **options)
    path = os.pathsep.join(filter(None, (extra_path, str(ROOT))))
    environment = {**PATIENT, **os.environ, "PYTHONUTF8": "1", "PYTHONPATH": path}
    execute_aside(client, environment)


def key_figure(nb: nbformat.NotebookNode) -> str:
    """The text that the cell tagged `key-figure` shows; empty where there is none."""
    for cell in nb.cells:
        if KEY_FIGURE in cell.metadata.get("tags", []):
            for output in cell.outputs:
                text = output.get("text") or output.get("data", {}).get("text/plain", "")
                if text.strip():
                    return " ".join(text.strip().strip("'\"").split())
    return ""


def without_paths(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with this machine's paths cut short in its outputs: what is stored is the same everywhere."""
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            for holder, key in ((output, "text"), (output.get("data", {}), "text/plain")):
                if key in holder:
                    holder[key] = holder[key].replace(f"{ROOT}/", "")
    return nb


def without_verdicts(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with no output in the cells that check an exercise: nobody has solved it yet."""
    for cell in nb.cells:
        if re.fullmatch(r"check-\d+", cell.id):
            cell.outputs, cell.execution_count = [], None
    return nb


def changed_outputs(before: nbformat.NotebookNode, after: nbformat.NotebookNode) -> list[str]:
    """Ids of the cells that showed another text before, timings aside."""

    def texts(nb) -> dict[str, list[str]]:
        cells = [cell for cell in nb.cells if not {"timing", "machine"} & {*cell.metadata.get("tags", [])}]
        return {
            cell.id: [o.get("text") or o.get("data", {}).get("text/plain") for o in cell.get("outputs", [])]
            for cell in cells
        }

    old = texts(before)
    return [name for name, shown in texts(after).items() if shown != old.get(name)]


def write_notebook(nb: nbformat.NotebookNode, path: Path) -> None:
    """Writes a notebook, whole: a reader never finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        nbformat.write(nb, part)


def learn(lang: str, chapter: str, target: Path) -> Result:
    """Runs one chapter, writes it to `target`, and tells how long it took and what it found."""
    source = notebook(lang, chapter)
    nb = nbformat.read(source, as_version=4)
    progress = Progress(chapter, sum(cell.cell_type == "code" for cell in nb.cells))
    workspace = BUILD / "work" / lang
    workspace.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        run_notebook(nb, workspace, progress)
    except CellExecutionError as error:
        progress.close("failed")
        raise SystemExit(f"{source.relative_to(ROOT)}: a cell failed\n{error}") from None
    seconds = time.monotonic() - started
    changed = ""
    if target == source:
        nb = without_verdicts(without_paths(nb))
        cells = changed_outputs(nbformat.read(source, as_version=4), nb)
        changed = f", other text than before in: {' '.join(cells)}" if cells else ", the same text as before"
    write_notebook(nb, target)
    progress.close(f"{seconds:.0f} s{changed}")
    return Result(chapter, seconds, key_figure(nb))


def table(results: list[Result]) -> str:
    """The results as text, a line a chapter.

    >>> print(table([Result("00_start", 3.2, "4 languages")]))
    chapter   seconds  key figure
    00_start        3  4 languages
    total           3
    """
    width = max(len(r.chapter) for r in results)
    lines = [f"{'chapter':{width}}  seconds  key figure"]
    lines += [f"{r.chapter:{width}}  {r.seconds:7.0f}  {r.key_figure}".rstrip() for r in results]
    return "\n".join([*lines, f"{'total':{width}}  {sum(r.seconds for r in results):7.0f}"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the course headless.")
    parser.add_argument("--lang", default="en")
    parser.add_argument("--chapter", default="", help="one chapter only, e.g. 05_trainer")
    parser.add_argument("--store", action="store_true", help="keep the outputs in nbs/ instead of build/")
    options = parser.parse_args(arguments)
    names = [options.chapter] if options.chapter else chapters()
    try:
        sources = {name: notebook(options.lang, name) for name in names}
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    results = []
    try:
        for name, source in sources.items():
            target = source if options.store else BUILD / "learn" / options.lang / source.name
            results.append(learn(options.lang, name, target))
    except KeyboardInterrupt:
        print(f"\nstopped; {len(results)} of {len(sources)} chapters are done", file=sys.stderr)
        return 130
    print(f"\n{table(results)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
