"""Pages of the website that come from the READMEs: the home page, how to get started, what a teacher finds."""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from html import escape

from tools.markdown import FENCE, unwrap_rtl
from tools.pages import Page, Renderer, in_site, plain, words
from tools.settings import ROOT, repository, settings
from tools.teachers import list_of_notes

PICTURE = re.compile(r"!\[(?P<alt>[^\]]+)\]\((?P<path>kit/[\w.]+)\)")
ROW = re.compile(
    r"^\|[^\n]*?nbs/[\w-]+/(?P<chapter>\w+)\.ipynb\)[^|]*\|(?P<about>[^|]+)\|.*\| *(?P<minutes>[\d.]+) *\|$", re.M
)
# Commands that only a teacher types: the parts of "Start" that have one are for teachers.
ROOM = ("--no-index", "ftcourse hub", "ftcourse site", "make class", "make bundle")


def slug(heading: str) -> str:
    """The name that code hosts give to the place of a heading.

    >>> slug("In Colab, even on a phone")
    'in-colab-even-on-a-phone'
    """
    kept = (c for c in heading.lower() if c in " -_" or c.isalnum() or unicodedata.category(c).startswith("M"))
    return "".join(kept).strip().replace(" ", "-")


@dataclass
class Part:
    """A piece of a README under a heading: its level, its name, and its text, heading included."""

    level: int
    name: str
    text: str


@cache
def parts(lang: str) -> list[Part]:
    """A README cut at its headings.

    >>> [part.level for part in parts("en")][:4]
    [1, 2, 3, 3]
    """
    path = ROOT / ("README.md" if lang == "en" else f"README.{lang}.md")
    text = unwrap_rtl(path.read_text(encoding="utf-8")).replace("&rlm;", "").replace("\u200f", "")
    inside = [(match.start(), match.end()) for match in FENCE.finditer(text)]
    heads = [m for m in re.finditer(r"^(#+) (.+)$", text, re.M) if not any(a < m.start() < b for a, b in inside)]
    ends = [head.start() for head in heads[1:]] + [len(text)]
    return [
        Part(len(head[1]), slug(head[2]), text[head.start() : end].strip())
        for head, end in zip(heads, ends, strict=True)
    ]


def sections(lang: str) -> list[list[Part]]:
    """The parts of a README by its headings of the second level; what stands before them comes first.

    >>> [len(section) for section in sections("en")]
    [1, 10, 1, 2, 1, 1, 1]
    """
    found: list[list[Part]] = [[]]
    for part in parts(lang):
        if part.level == 2:
            found.append([])
        found[-1].append(part)
    return found


def start(lang: str) -> tuple[list[Part], list[Part]]:
    """How to start, for one who learns and for one who teaches.

    >>> [part.name for part in start("en")[1]]
    ['in-a-classroom', 'a-hub-in-the-room', 'the-course-as-a-website', 'a-class-on-one-server']
    """
    found = sections(lang)[1]
    room = [part for part in found if any(command in part.text for command in ROOM)]
    return [part for part in found if part not in room], room


@dataclass(frozen=True)
class Entry:
    """What the README's table says of a chapter."""

    about: str
    minutes: str


@cache
def table(lang: str) -> dict[str, Entry]:
    """What the README's table says of the chapters.

    >>> table("en")["05_trainer"].minutes
    '1.3'
    """
    text = "\n".join(part.text for part in parts(lang))
    return {row["chapter"]: Entry(row["about"].strip(), row["minutes"]) for row in ROW.finditer(text)}


def places(lang: str) -> dict[str, str]:
    """Where in the site the headings of a README are."""
    _, _, chapters, *rest = sections(lang)
    alone, room = start(lang)
    found = {part.name: f"install.html#{part.name}" for section in (alone, *rest[:-1]) for part in section}
    found |= {part.name: f"teachers.html#{part.name}" for part in room}
    return found | {chapters[0].name: "index.html#chapters"}


def link_from(lang: str, address: str) -> str:
    """Where a link of a README leads; to what the site lacks, in the repository, where that has an address."""
    if address.startswith("#"):
        return places(lang).get(address[1:], "")
    if match := re.fullmatch(r"nbs/[\w-]+/(\w+\.(?:ipynb|md))", address):
        return in_site(match[1])
    if address.startswith("site/teachers/"):
        return "teachers.html#notes"
    return f"https://github.com/{repository()}/blob/{settings()['branch']}/{address}" if repository() else ""


def renderer_for(lang: str, page: Page) -> Renderer:
    """A renderer that knows where the README's links lead."""
    renderer = Renderer(lang, page, lambda address: link_from(lang, address))
    plain_link = renderer.linked

    def linked(address: str) -> str:
        if address.startswith("#"):
            place = link_from(lang, address)
            return f'<a href="{escape(place)}"' if place else "<a"
        return plain_link(address)

    renderer.linked = linked
    return renderer


def picture(page: Page, text: str) -> str:
    """Markdown with its pictures as files of the page."""

    def put(match: re.Match) -> str:
        content = (ROOT / match["path"]).read_bytes()
        place = f"files/{match['path'].split('/')[-1]}"
        page.files[place] = content
        width, height = re.search(rb'viewBox="0 0 ([\d.]+) ([\d.]+)"', content).groups()
        shape = f'width="{round(float(width))}" height="{round(float(height))}"'
        return f'<p class="output picture"><img src="{place}" {shape} alt="{escape(match["alt"])}"></p>\n'

    return PICTURE.sub(put, text)


def lead(lang: str) -> tuple[str, str]:
    """How a README begins: its bold first line, and what follows until the first section."""
    text = parts(lang)[0].text
    bold = re.search(r"^\*\*(.+?)\*\*$", text, re.M)
    return bold[1], text[bold.end() :].strip()


def home_page(lang: str, titles: dict[str, str]) -> Page:
    """The first page: what this is, how to begin, the chapters as cards. `titles` are those of the chapters."""
    page = Page("index", words(lang, "nav_home"), meta={"kind": "home", "hide": ["toc"]})
    renderer = renderer_for(lang, page)
    line, text = lead(lang)
    first = next(iter(titles))
    before, _, after = text.partition("![")
    hero = renderer.prose(f"# {words(lang, 'home_title')}\n\n{line}", "top")
    buttons = [(f"{first}.html", "home_start", "primary"), ("install.html", "home_install", "plain")]
    buttons = "".join(
        f'<a class="button {kind}" href="{to}">{escape(words(lang, key))}</a>' for to, key, kind in buttons
    )
    about = renderer.prose(before, "about")
    shown = renderer.prose(f"## {words(lang, 'home_picture')}\n\n" + picture(page, f"![{after}"), "results")
    heading = renderer.prose(f"## {words(lang, 'nav_chapters')}", "chapters")
    cards = "".join(card(renderer, lang, chapter, title) for chapter, title in titles.items())
    note = f'<p class="note">{escape(words(lang, "minutes_of"))}</p>'
    page.html = (
        f'<div class="hero">{hero}<p class="buttons">{buttons}</p></div>{about}{shown}{heading}'
        f'<ol class="cards">{cards}</ol>{note}'
    )
    return page


def card(renderer: Renderer, lang: str, chapter: str, title: str) -> str:
    """A chapter on the home page."""
    entry = table(lang).get(chapter, Entry("", ""))
    about = renderer.markdown.renderInline(entry.about)
    renderer.index("chapters", f"{title} {plain(about)}")
    minutes = (
        f'<span class="minutes">{escape(words(lang, "minutes", minutes=entry.minutes))}</span>' if entry.minutes else ""
    )
    number, _, name = title.partition(" ")
    return (
        f'<li><a href="{chapter}.html"><span class="number" aria-hidden="true">{number}</span>'
        f'<span class="name">{escape(name)}</span><span class="about">{about}</span>{minutes}</a></li>'
    )


def page_of(lang: str, name: str, title: str, found: list[Part], above: str = "") -> Page:
    """A page of parts of the README, with a title of its own."""
    page = Page(name, title)
    renderer = renderer_for(lang, page)
    html = [renderer.prose(f"# {title}\n\n{above}", name)]
    html += [renderer.prose(picture(page, part.text), part.name) for part in found]
    page.html = "\n".join(html)
    return page


def install_page(lang: str) -> Page:
    """How to get the course, and what else it is for."""
    alone, rest = start(lang)[0], sections(lang)[3:-1]
    found = [*alone[1:], *(part for section in rest for part in section)]
    above = alone[0].text.partition("\n")[2]
    return page_of(lang, "install", words(lang, "nav_install"), found, above)


def teachers_page(lang: str, titles: dict[str, str]) -> Page:
    """What there is for teachers: notes for chapters, whose `titles` these are, and the room."""
    page = Page("teachers", words(lang, "teachers_title"))
    renderer = renderer_for(lang, page)
    html = [renderer.prose(f"# {page.title}\n\n{words(lang, 'teachers_about')}", page.name)]
    html.append(list_of_notes(renderer, lang, titles))
    del renderer.levels[1:]  # what follows is no part of the notes
    page.html = "\n".join([*html, *(renderer.prose(picture(page, part.text), part.name) for part in start(lang)[1])])
    return page
