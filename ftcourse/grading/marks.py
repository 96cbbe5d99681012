"""From a folder of notebooks to a table of marks, with a page of feedback for each learner."""

import csv
import html
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from ftcourse.engine.answers import cell_words, neutral
from ftcourse.engine.folders import written_whole
from ftcourse.engine.messages import RIGHT_TO_LEFT, language, message, speaking, trouble
from ftcourse.grading.judge import Judge, Verdicts
from ftcourse.grading.notebooks import ELSEWHERE, OPEN_POINTS, POINTS, HandedIn, answer_names, hand_in

TABLE, FEEDBACK, SUBMITTED = "marks.csv", "feedback", "submitted"


def notebooks_in(folder: Path) -> list[tuple[str, Path]]:
    """Whose notebooks are in a folder: `submitted/NAME/CHAPTER/CHAPTER.ipynb`, as nbgrader collects them, or
    `NAME/CHAPTER.ipynb`, or `NAME.ipynb`.

    Raises `ValueError` where there is none.
    """
    root = folder / SUBMITTED if (folder / SUBMITTED).is_dir() else folder
    found = []
    for path in sorted(root.rglob("*.ipynb")):
        parts = path.relative_to(root).parts
        if not any(part.startswith(".") for part in parts) and parts[0] not in (FEEDBACK, "source", "release"):
            learner = parts[0] if len(parts) > 1 else path.stem
            found.append((cell_words(learner), path))  # of a zip in another encoding it has half letters
    if not found:
        raise trouble("nothing_handed_in", folder=str(folder))
    return found


def grade(folder: Path, lang: str, seconds: float, memory: int, tell: Callable[[str], None]) -> Path:
    """Judges all notebooks in a folder, writes the table and the pages, and gives the table's path.

    What cannot be graded gets a line, and does not stop the rest. `tell` takes what is to be shown in the meantime.
    """
    read: dict[tuple[str, str], list[HandedIn]] = {}
    notes: list[tuple[str, str, str]] = []
    for learner, path in notebooks_in(folder):
        try:
            one = hand_in(path, learner, lang)
        except ValueError as error:
            notes.append((learner, path.stem, str(error)))
            tell(say("ungraded", learner=learner, reason=error))
            continue
        read.setdefault((one.chapter, one.lang), []).append(one)
    found: list[Verdicts] = []
    failed: RuntimeError | None = None
    for (chapter, lang), several in sorted(read.items()):
        if chapter in ELSEWHERE:
            notes += [(one.learner, chapter, say("by_hand", chapter=chapter)) for one in several]
            tell(say("by_hand", chapter=chapter))
            continue
        with ExitStack() as stack:
            tell(say("preparing", chapter=chapter, lang=lang, count=len(several)))
            judge = stack.enter_context(Judge(chapter, lang, seconds, memory))
            judged = []
            try:
                judge.start()
                if judge.missing:
                    tell(unfenced(judge))
                for one in several:
                    judged.append(judge.judge(one))
                    tell(line(judged[-1]))
            except RuntimeError as error:  # this chapter cannot be judged here: the others can
                failed = error
                notes += [(one.learner, chapter, str(error)) for one in several[len(judged) :]]
                tell(str(error))
            for verdicts in judged:
                write_page(folder / FEEDBACK / verdicts.handed_in.learner / f"{chapter}.html", verdicts)
            found += judged
            write_table(folder / TABLE, found, notes)
    if failed and not found:
        raise failed
    write_table(folder / TABLE, found, notes)
    return folder / TABLE


def unfenced(judge: Judge) -> str:
    """Which fences the system denies, to whoever grades."""
    return say("unfenced", missing=", ".join(say(f"fence_{name}") for name in judge.missing))


def say(key: str, /, **values) -> str:
    """A message to whoever grades."""
    return message(language(), "grading", key, **values)


def line(verdicts: Verdicts) -> str:
    """A learner's marks on one line."""
    marks = "  ".join(f"{number} {'✓' if solved else '✗'}" for number, solved in verdicts.solved.items())
    return f"{verdicts.handed_in.learner}  {verdicts.handed_in.chapter}  {marks}"


def write_table(path: Path, found: list[Verdicts], notes: list[tuple[str, str, str]]) -> None:
    """A line a learner, a column an exercise; open questions are left to the teacher."""
    chapters = sorted({verdicts.handed_in.chapter: None for verdicts in found})
    columns = [(chapter, number) for chapter in chapters for number in answer_names(chapter, "en")]
    rows: dict[str, dict] = {}
    for verdicts in found:
        row = rows.setdefault(verdicts.handed_in.learner, {})
        for number, solved in verdicts.solved.items():
            place = (verdicts.handed_in.chapter, number)
            row[place] = max(row.get(place, 0), POINTS if solved else 0)
    remarks: dict[str, list[str]] = {}
    for learner, _, text in notes:
        remarks.setdefault(learner, []).append(text)
    heads = [f"{chapter} {number}" for chapter, number in columns]
    total = say("total", points=POINTS * len(columns))
    with written_whole(path) as part, open(part, "w", encoding="utf-8-sig", newline="") as file:
        table = csv.writer(file)
        table.writerow([say("learner"), *heads, total, say("remarks")])
        for learner in sorted({*rows, *remarks}):
            row = rows.get(learner, {})
            marks = [row.get(column, "") for column in columns]
            remark = neutral(" ".join(remarks.get(learner, [])))
            table.writerow([neutral(learner), *marks, sum(row.values()) if row else "", remark])


def write_page(path: Path, verdicts: Verdicts) -> None:
    """What a learner reads: each exercise's mark, and what is still wrong."""
    one = verdicts.handed_in
    with speaking(one.lang):
        items = "".join(
            f'<li><b dir="auto">{html.escape(say("exercise", number=number, points=POINTS * solved, of=POINTS))}</b>'
            f'<p dir="auto" class="{"right" if solved else "wrong"}">{"✓" if solved else "✗"} '
            f"{html.escape(verdicts.texts[number])}</p></li>"
            for number, solved in verdicts.solved.items()
        )
        if one.open:
            items += f"<li><p>{html.escape(say('open_by_hand', of=OPEN_POINTS))}</p></li>"
        title = html.escape(f"{one.chapter} · {one.learner}")
        side = "rtl" if one.lang in RIGHT_TO_LEFT else "ltr"
    path.parent.mkdir(parents=True, exist_ok=True)
    style = "body{font:1rem/1.6 sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem}li{margin:1rem 0}"
    style += ".right{color:#1a7f37}.wrong{color:#b35900}"
    text = f'<!doctype html><html lang="{one.lang}" dir="{side}"><meta charset="utf-8"><title>{title}</title>'
    text += f"<style>{style}</style><h1>{title}</h1><ol style='list-style:none;padding:0'>{items}</ol></html>\n"
    path.write_text(text, encoding="utf-8")
