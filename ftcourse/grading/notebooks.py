"""A chapter's exercises as an assignment, in nbgrader's format; and what somebody handed in, cell by cell."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from ftcourse.engine.checks import LANGS
from ftcourse.engine.folders import reason, written_whole
from ftcourse.engine.messages import RIGHT_TO_LEFT, message, trouble

PACKAGE = Path(__file__).parents[1]
SCHEMA = 3  # of nbgrader's metadata
PART = re.compile(r"(exercise|answer|check|open)-(\d+)")
RTL = re.compile(r'<div dir="rtl"[^>]*>\n*(.*?)\n*</div>', re.S)
ELSEWHERE = ("09_sharing",)  # answers that are on a server: read by the teacher
POINTS, OPEN_POINTS = 2, 2
CONFIG = """# For those who grade with nbgrader: it takes the verdicts of the sandbox.
from pathlib import Path

c = get_config()
c.CourseDirectory.root = str(Path(__file__).parent)
c.Autograde.autograde_preprocessors = [
    "ftcourse.grading.preprocessor.Judged",
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.CheckCellMetadata",
]
"""


def known_chapters(lang: str) -> dict[str, Path]:
    """The notebooks of the chapters that there are, in the wheel or in the checkout, by name.

    >>> [*known_chapters("en")][:2]
    ['00_start', '01_pipeline']
    """
    roots = [PACKAGE.parent / "nbs", PACKAGE / "notebooks"]
    found = {path.stem: path for root in roots for path in (root / lang).glob("[0-9][0-9]_*.ipynb")}
    return dict(sorted(found.items()))


def chapter_path(chapter: str, lang: str) -> Path:
    """A chapter's notebook, in the wheel or in the checkout; a `ValueError` names the chapters that there are.

    >>> chapter_path("05_trainer", "ar").name
    '05_trainer.ipynb'
    """
    known = known_chapters(lang)
    if chapter in known:
        return known[chapter]
    raise ValueError(message(lang, "cli", "unknown_chapter", given=chapter, known=", ".join(known)))


def chapter_cells(chapter: str, lang: str) -> list[dict]:
    """The cells of a chapter, each with its source as one text."""
    cells = json.loads(chapter_path(chapter, lang).read_text(encoding="utf-8"))["cells"]
    return [cell | {"source": "".join(cell["source"])} for cell in cells]


def prepared(chapter: str, lang: str) -> list[dict]:
    """The code of a chapter on which its exercises build: all but answers and checks.

    >>> [cell["id"] for cell in prepared("00_start", "en")][-2:]
    ['ours', 'to-beat-code']
    """
    cells = chapter_cells(chapter, lang)
    return [cell for cell in cells if cell["cell_type"] == "code" and not PART.fullmatch(cell["id"])]


def checks(chapter: str, lang: str) -> dict[int, str]:
    """What a chapter's checking cells ask, by the exercise's number.

    >>> checks("05_trainer", "en")[1]
    'check(1, better, film_valid=film_valid)'
    """
    found = ((PART.fullmatch(cell["id"]), cell["source"]) for cell in chapter_cells(chapter, lang))
    return {int(part[2]): source for part, source in found if part and part[1] == "check"}


def answer_names(chapter: str, lang: str) -> dict[int, str]:
    """What the answers to a chapter's exercises are called, by number.

    >>> answer_names("05_trainer", "en")
    {1: 'better', 2: 'bad_found', 3: 'worse'}
    """
    found = ((PART.fullmatch(cell["id"]), cell["source"]) for cell in chapter_cells(chapter, lang))
    return {int(part[2]): source.split()[0] for part, source in found if part and part[1] == "answer"}


def graded(grade_id: str, cell_type: str, points: float = 0, solution: bool = False) -> dict:
    """nbgrader's metadata of a cell: what it is worth, and whether the learner writes in it.

    >>> data = graded("check-1", "code", 2)["nbgrader"]
    >>> data["points"], data["locked"], data["solution"]
    (2, True, False)
    """
    data = {"schema_version": SCHEMA, "grade_id": grade_id, "cell_type": cell_type, "task": False}
    data |= {"grade": points > 0, "solution": solution, "locked": not solution}
    return {"nbgrader": data | ({"points": points} if points else {})}


def cell(name: str, cell_type: str, source: str, metadata: dict) -> dict:
    """A cell of a notebook."""
    made = {"cell_type": cell_type, "id": name, "metadata": metadata, "source": source}
    return made | ({"execution_count": None, "outputs": []} if cell_type == "code" else {})


def closed(one: dict) -> dict:
    """Metadata of a cell whose code is folded away."""
    tags = one["metadata"].get("tags")
    return {"jupyter": {"source_hidden": True}} | ({"tags": tags} if tags else {})


def demanding(check: str) -> str:
    """A check that stops where the answer does not hold, as nbgrader wants it."""
    return f"verdict = {check}\nassert verdict.solved, verdict\nverdict"


def sided(lang: str, text: str) -> str:
    """Markdown from right to left, where the language is written so."""
    return f'<div dir="rtl">\n\n{text}\n\n</div>' if lang in RIGHT_TO_LEFT else text


def make_assignment(chapter: str, lang: str) -> dict:
    """A notebook with a chapter's code, closed, and its exercises to be answered; without prose and solutions.

    >>> notebook = make_assignment("05_trainer", "en")
    >>> sum(cell["metadata"]["nbgrader"].get("points", 0) for cell in notebook["cells"])
    8
    """
    cells = chapter_cells(chapter, lang)
    source = cells[0]["source"]
    title = next(line for line in source.splitlines() if line.startswith("# ")).removeprefix("# ")
    begin = message(lang, "grading", "begin", title=title)
    made = [cell("title", "markdown", sided(lang, begin), graded("title", "markdown"))]
    by_hand = chapter in ELSEWHERE
    for one in cells:
        if not (part := PART.fullmatch(one["id"])):
            if one["cell_type"] == "code":
                made.append(cell(one["id"], "code", one["source"], graded(one["id"], "code") | closed(one)))
            continue
        name, kind = one["id"], part[1]
        if kind == "answer":
            points = POINTS if by_hand else 0
            made.append(cell(name, "code", one["source"], graded(name, "code", points, solution=True)))
        elif kind == "check":
            points, source = (0, one["source"]) if by_hand else (POINTS, demanding(one["source"]))
            made.append(cell(name, "code", source, graded(name, "code", points)))
        else:
            made.append(cell(name, "markdown", one["source"], graded(name, "markdown")))
        if kind == "open":
            hint, name = sided(lang, message(lang, "grading", "write_here")), f"open-answer-{part[2]}"
            made.append(cell(name, "markdown", hint, graded(name, "markdown", OPEN_POINTS, solution=True)))
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {
        "kernelspec": kernel,
        "language_info": {"name": "python"},
        "ftcourse": {"assignment": chapter, "lang": lang},
    }
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def write_assignment(chapter: str, lang: str, folder: Path, force: bool = False) -> Path:
    """Writes an assignment into a folder of a class's work, where nbgrader looks for it; and gives its path.

    `FileExistsError` where there is one, unless `force` is given.
    """
    made = make_assignment(chapter, lang)
    path = folder / "source" / chapter / f"{chapter}.ipynb"
    if path.exists() and not force:
        raise FileExistsError(message(lang, "cli", "file_exists", name=str(path)))
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as part:
        part.write_text(json.dumps(made, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if not (folder / "nbgrader_config.py").exists():
        (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    return path


@dataclass
class HandedIn:
    """A notebook that was handed in: whose, of which chapter, in which language, and what there is to run in it.

    A step is ("own", name, source), ("answer", number, source), or ("check", number, "").
    """

    learner: str
    chapter: str
    lang: str
    steps: list[tuple[str, int | str, str]] = field(default_factory=list)
    lacks: list[int] = field(default_factory=list)  # exercises whose cell is gone
    open: list[str] = field(default_factory=list)  # answers to open questions


def read_notebook(path: Path) -> dict:
    """A notebook's JSON; a `ValueError` says why it is none."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise trouble("unreadable", name=path.name, reason=reason(error)) from error
    except (ValueError, RecursionError):
        raise trouble("no_notebook", name=path.name) from None
    if not (isinstance(found, dict) and isinstance(found.get("cells"), list)):
        raise trouble("no_notebook", name=path.name)
    return found


def grade_id(one: dict) -> str:
    """What nbgrader calls a cell; its id, where that metadata was lost.

    >>> grade_id({"id": "answer-1", "metadata": {}})
    'answer-1'
    """
    metadata = one.get("metadata")
    data = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    return str((data.get("grade_id") if isinstance(data, dict) else None) or one.get("id") or "")


def hand_in(path: Path, learner: str, lang: str) -> HandedIn:
    """Reads what somebody handed in. `ValueError` where it is no notebook, of no chapter, or without any answer's cell.

    The chapter and the language are those that the assignment noted in it; or else those of its name, and `lang`.
    """
    notebook = read_notebook(path)
    noted = notebook.get("metadata", {})
    noted = noted.get("ftcourse") if isinstance(noted, dict) else None
    noted = noted if isinstance(noted, dict) else {}
    lang = noted["lang"] if noted.get("lang") in LANGS else lang
    chapter = str(noted.get("assignment", ""))
    if not chapter:
        known = known_chapters(lang)
        named = (name for place in (path.stem, path.parent.name) for name in known if name in place)
        chapter = next(named, path.stem)
    names, steps, seen = answer_names(chapter, lang), [], set()
    locked = {one["id"] for one in prepared(chapter, lang)}
    written = HandedIn(learner, chapter, lang)
    for one in notebook["cells"]:
        if not isinstance(one, dict):
            continue
        name, source = grade_id(one), one.get("source", "")
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        part = PART.fullmatch(name)
        if part and part[1] in ("answer", "check") and int(part[2]) in names:
            number = int(part[2])
            steps.append((part[1], number, source if part[1] == "answer" else ""))
            seen |= {(part[1], number)}
        elif name.startswith("open-answer-"):
            written.open.append(source)
        elif one.get("cell_type") == "code" and source.strip() and name not in locked:
            steps.append(("own", name, source))
    written.lacks = [number for number in names if ("answer", number) not in seen]
    if len(written.lacks) == len(names):
        raise trouble("no_answer_cells", name=path.name, chapter=chapter)
    for number in names:  # a check that was lost comes after the answer
        if ("answer", number) in seen and ("check", number) not in seen:
            last = max(place for place, step in enumerate(steps) if step[:2] == ("answer", number))
            steps.insert(last + 1, ("check", number, ""))
    kept = []
    for place, step in enumerate(steps):  # of several checks, the last counts
        if step[0] == "check" and (step in steps[place + 1 :] or step[1] in written.lacks):
            continue
        kept.append(step)
    written.steps = kept
    return written
