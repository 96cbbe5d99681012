"""Notes for teachers, a page a chapter: `site/teachers/<lang>/<chapter>.md`; and their pages in the website.

`python -m tools.teachers` wraps what runs right to left, and prints what is wrong, a line each: a page that is not
there, a section that is, a number or a piece of code that the chapter of that language does not show.
"""

import re
import sys
from functools import cache
from html import escape
from pathlib import Path

from tools.markdown import CODE, FENCE, LINK, unwrap_rtl, words_only, wrap_rtl
from tools.pages import Page, Renderer, direction, in_site, words
from tools.settings import ROOT, chapters, languages, notebook
from tools.translate import SOURCE, read

FOLDER = ROOT / "site" / "teachers"
NUM_SECTIONS = 6  # aims, time, what to prepare, misconceptions, questions, board
MOST_WORDS, MOST_LETTERS = 450, 1000  # of a page; letters where nothing stands between words
BESIDE = re.compile(r"^(?:\.\./)+nbs/[\w-]+/")
COMMANDS = ("ftcourse ", "pip ")
DECIMAL = re.compile(r"(?<![\d.,])\d+\.\d+(?![\d.]*\d)")


def place(lang: str, chapter: str) -> Path:
    """Where a page is."""
    return FOLDER / lang / f"{chapter}.md"


def with_notes(lang: str) -> list[str]:
    """The chapters that have a page."""
    return [chapter for chapter in chapters() if place(lang, chapter).is_file()]


def text_of(lang: str, chapter: str) -> str:
    """A page's markdown, without what makes it run right to left."""
    return unwrap_rtl(place(lang, chapter).read_text(encoding="utf-8"))


def sections(text: str) -> dict[str, str]:
    """The parts of a page by their headings.

    >>> sections("# Title\\n\\n## Aims\\n- one\\n\\n## Time\\nan hour\\n")
    {'Aims': '- one', 'Time': 'an hour'}
    """
    _, *parts = re.split(r"^## ", text, flags=re.M)
    return {head.strip(): body.strip() for head, _, body in (part.partition("\n") for part in parts)}


@cache
def shown(lang: str, chapter: str) -> str:
    """All that a chapter says and shows."""
    found = []
    for cell in read(notebook(lang, chapter)).cells:
        found.append(unwrap_rtl(cell.source))
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            found += [output.get("text", ""), *(data.get(kind, "") for kind in ("text/plain", "text/html"))]
    return "\n".join(found)


def stands(number: str, text: str) -> bool:
    """Whether a decimal number stands in a text, perhaps with more digits.

    >>> stands("0.92", "0.915"), stands("0.92", "0.925"), stands("0.5", "0.56")
    (True, True, False)
    """
    half = 0.5001 * 10 ** -len(number.partition(".")[2])
    return any(abs(float(other) - float(number)) <= half for other in DECIMAL.findall(text))


def problems(lang: str, chapter: str) -> list[str]:
    """What is wrong with a page."""
    if not place(lang, chapter).is_file():
        return [f"{lang}/{chapter}: there is no page for teachers"]
    text = text_of(lang, chapter)
    found = [*wrong_shape(lang, text), *wrong_links(lang, chapter, text), *not_shown(lang, chapter, text)]
    if direction(lang) == "rtl" and place(lang, chapter).read_text(encoding="utf-8") != wrap_rtl(text) + "\n":
        found.append("not wrapped right to left: python -m tools.teachers")
    return [f"{lang}/{chapter}: {line}" for line in found]


def wrong_shape(lang: str, text: str) -> list[str]:
    """Whether a page has its sections, something in each, a drawing at the end, and no more than can be read."""
    parts = sections(text)
    found = [f"nothing stands under {head}" for head, body in parts.items() if not re.search(r"\w", body)]
    if [*parts] != [*sections(text_of(lang, chapters()[0]))] or len(parts) != NUM_SECTIONS:
        found.append(f"the headings are {', '.join(parts)}")
    if parts and not FENCE.fullmatch([*parts.values()][-1]):
        found.append("the last section is no drawing")
    return found + too_long(words_only(text))


def wrong_links(lang: str, chapter: str, text: str) -> list[str]:
    """Links beside the one to the chapter and those of the English page, whose sources were looked at."""
    own = f"../../../nbs/{lang}/{chapter}.ipynb"
    links = {match["address"] for match in LINK.finditer(text)}
    known = {own, *(match["address"] for match in LINK.finditer(text_of(SOURCE, chapter)))}
    found = [f"{link} is not among the links of the English page" for link in sorted(links - known)]
    return found if own in links else [*found, "no link to the chapter"]


def not_shown(lang: str, chapter: str, text: str) -> list[str]:
    """Decimal numbers and pieces of code that do not stand in the chapter."""
    spans = {match["body"] for match in CODE.finditer(FENCE.sub("", text))}
    numbers, chapter_text = set(DECIMAL.findall(LINK.sub("", text))), shown(lang, chapter)
    missing = [f"`{span}`" for span in spans if not span.startswith(COMMANDS) and span not in chapter_text]
    missing += [number for number in numbers if not stands(number, chapter_text)]
    return [f"{piece} does not stand in the chapter" for piece in sorted(missing)]


def too_long(text: str) -> list[str]:
    """A line, where a page is longer than a teacher reads on the way to the room."""
    letters = len(re.findall("[\u3400-\u9fff]", text))
    count, most = (letters, MOST_LETTERS) if letters > len(text) / 3 else (len(text.split()), MOST_WORDS)
    return [f"{count} long, at most {most}"] if count > most else []


def notes_page(lang: str, chapter: str, minutes: str = "", slides: bool = False) -> Page:
    """A page of notes in the website; `minutes` are those of a run, `slides` whether there are any."""
    text = text_of(lang, chapter)
    title = re.search("^# (.+)$", text, re.M)[1]
    page = Page(f"teachers-{chapter}", title)
    renderer = Renderer(lang, page, lambda address: in_site(BESIDE.sub("", address)))
    head, *blocks = re.split(r"^(?=## )", text, flags=re.M)
    machine = f"\n\n{words(lang, 'teachers_machine', minutes=minutes)}" if minutes else ""
    html = [renderer.prose(head.strip() + machine, page.name)]
    if slides:
        html.append(f'<p><a href="../slides/{lang}/{chapter}.html">{escape(words(lang, "teachers_slides"))}</a></p>')
    html += [renderer.prose(block, f"{page.name}-{number}") for number, block in enumerate(blocks)]
    html[-1] = html[-1].replace('<div class="highlight" dir="ltr">', f'<div class="board" dir="{direction(lang)}">')
    page.html = "\n".join(html)
    return page


def list_of_notes(renderer: Renderer, lang: str, titles: dict[str, str]) -> str:
    """What the overview says of the notes, and where they are; `titles` are those of the chapters."""
    heading = renderer.prose(f"## {words(lang, 'teachers_notes')}\n\n{words(lang, 'teachers_intro')}", "notes")
    rows = "".join(
        f'<li><a href="teachers-{chapter}.html">{escape(title)}</a></li>'
        for chapter, title in titles.items()
        if chapter in with_notes(lang)
    )
    return f'{heading}<ul class="notes">{rows}</ul>'


def main() -> int:
    for lang in languages():
        if direction(lang) == "rtl":
            for path in (place(lang, chapter) for chapter in with_notes(lang)):
                path.write_text(wrap_rtl(path.read_text(encoding="utf-8")) + "\n", encoding="utf-8")
    lines = [line for lang in languages() for chapter in chapters() for line in problems(lang, chapter)]
    print("\n".join([*lines, f"{len(lines)} problems"]))
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
