"""Pages of the website from notebooks and markdown: HTML, contents, what the search finds, files beside."""

import re
from base64 import b64decode
from collections.abc import Callable
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from struct import unpack

import nbformat
from markdown_it import MarkdownIt
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from ftcourse.engine.messages import message
from tools.settings import notebook, settings
from tools.translate import SAME, SOURCE, base_of, listed, prose, read, state

SOUND = {"audio/mpeg": "mp3", "audio/wav": "wav"}
SETUP = ("install", "params", "imports", "imports-lesson", "imports-first", "lesson-imports")  # what a reader may skip
INDEXED_LETTERS = 600  # of an output
ANSI = re.compile(r"\x1b\[[\d;]*[A-Za-z]")
TAGS = re.compile(r"<[^>]+>")
OPTION = re.compile(r"<details>(<summary>(?:(?!</summary>).)*</summary>\s*)([✓✗])", re.S)
SHADED = re.compile(r"background:rgba\(0,114,178,([\d.]+)\);color:\w+")
VERDICTS = {"✓": "right", "✗": "wrong"}
INDENT = {"python": "python", "py": "python", "pycon": "pycon", "": "text"}


def words(lang: str, key: str, /, **values) -> str:
    """What the site itself says.

    >>> words("en", "download")
    'Download the notebook'
    """
    return message(lang, "site", key, **values)


def direction(lang: str) -> str:
    """Which way a language runs.

    >>> direction("ar"), direction("en")
    ('rtl', 'ltr')
    """
    return "rtl" if lang in settings()["right_to_left"].split() else "ltr"


@dataclass
class Page:
    """A page as it is written, by name (`05_trainer`): HTML, its headings, what the search finds, and files beside it.

    `sections` are lists of id, heading, and pairs of a cell's id and its text. `notes` are for the one who builds.
    """

    name: str
    title: str
    html: str = ""
    headings: list[tuple[int, str, str]] = field(default_factory=list)  # level, id, HTML
    sections: list[list] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    meta: dict = field(default_factory=dict)

    @property
    def toc(self) -> list[dict]:
        """The headings as Python-Markdown has them, for the generator."""
        root: list[dict] = []
        stack: list[dict] = []
        for level, name, html in self.headings:
            entry = {
                "level": level,
                "id": name,
                "name": plain(html),
                "html": html,
                "data-toc-label": "",
                "children": [],
            }
            while stack and stack[-1]["level"] >= level:
                stack.pop()
            (stack[-1]["children"] if stack else root).append(entry)
            stack.append(entry)
        return root


def plain(html: str) -> str:
    """The text of a piece of HTML.

    >>> plain("<b>a</b> &amp; b")
    'a & b'
    """
    return unescape(TAGS.sub("", html)).strip()


def coloured(code: str, language: str = "python") -> str:
    """A block of code as HTML, with classes for its colours."""
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    html = highlight(code, lexer, HtmlFormatter(nowrap=True)).rstrip("\n")
    html = re.sub(
        r'<span class="(?:n|p|o|w)">(.*?)</span>', r"\1", html, flags=re.S
    )  # those have no colour: half the weight
    return f'<div class="highlight" dir="ltr"><pre><code><span class="lines">{html}\n</span></code></pre></div>'


def formula(match: re.Match) -> str:
    r"""A formula that plain letters can say.

    >>> formula(re.match(r"\$(.+?)\$", r"$\log 2$"))
    '<i dir="ltr">log 2</i>'
    """
    text = re.sub(r"\\(log|exp|sqrt)\b", r"\1", match[1])
    if re.search(r"[\\^_{}]", text):
        raise ValueError(f"no formula for the site: {match[0]}; teach tools/pages.py to show it")
    return f'<i dir="ltr">{text}</i>'


class Renderer:
    """Turns the cells of one page into HTML; keeps its headings in order, and its links inside the site."""

    def __init__(self, lang: str, page: Page, link: Callable[[str], str]):
        self.lang, self.page, self.link = lang, page, link
        self.levels: list[int] = []
        self.markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
        self.markdown.options["highlight"] = None

    def level(self, written: int) -> int:
        """The level that a heading gets, so that none is skipped."""
        while self.levels and self.levels[-1] >= written:
            self.levels.pop()
        self.levels.append(written)
        return len(self.levels)

    def heading_ids(self, tokens: list[Token], cell: str) -> bool:
        """Name headings after their cell. Returns whether the first one may stand for the whole cell."""
        found = [number for number, token in enumerate(tokens) if token.type == "heading_open"]
        for count, number in enumerate(found):
            inline = tokens[number + 1]
            anchor = re.match(r'<a id="([^"]+)"></a>', inline.content)
            if anchor:
                name = anchor[1]
                inline.children = [c for c in inline.children if c.type != "html_inline"]
            elif number == 0:
                name = cell
            else:
                name = f"{cell}_{count + 1}"
            level = self.level(int(tokens[number].tag[1]))
            tokens[number].tag = tokens[number + 2].tag = f"h{level}"
            tokens[number].attrSet("id", name)
            html = self.markdown.renderer.renderInline(inline.children, self.markdown.options, {})
            html = re.sub(r"</?a[^>]*>", "", html)
            self.page.headings.append((level, name, html))
            self.page.sections.append([name, plain(html), []])
            if level > 1:
                sign = escape(words(self.lang, "link_here"))
                mark = f'<a class="headerlink" href="#{name}" title="{sign}" aria-label="{sign}">#</a>'
                inline.children.append(Token("html_inline", "", 0, content=mark))
        return bool(found) and found[0] == 0

    def prose(self, text: str, cell: str, mark: str = "", attributes: str = "") -> str:
        """A cell of markdown; `mark` goes in front of it."""
        text = re.sub(r"(?<![\\$`])\$([^$\n`]+)\$(?!\w)", formula, text)
        tokens = self.markdown.parse(text)
        headed = self.heading_ids(tokens, cell)
        html = "".join(self.rendered(tokens))
        self.index(cell, plain(re.sub(r"</(p|li|summary|td|th|h\d|pre)>", r" </\1>", html)), headed)
        name = "" if headed else f' id="{cell}"'
        return f'<div class="cell prose"{name}{attributes}>{mark}{self.finished(html)}</div>'

    def rendered(self, tokens: list[Token]):
        """The HTML of tokens, blocks of code in colour."""
        start = 0
        for number, token in enumerate(tokens):
            if token.type == "fence":
                yield self.markdown.renderer.render(tokens[start:number], self.markdown.options, {})
                yield coloured(token.content, INDENT.get(token.info.strip(), token.info.strip()))
                start = number + 1
        yield self.markdown.renderer.render(tokens[start:], self.markdown.options, {})

    def finished(self, html: str) -> str:
        """HTML with its links led into the site, tables that scroll, quiz options with their verdict as a class."""
        html = re.sub(r'<a href="([^"]+)"', lambda found: self.linked(unescape(found[1])), html)
        html = OPTION.sub(lambda found: f'<details class="option {VERDICTS[found[2]]}">{found[1]}{found[2]}', html)
        html = html.replace("<details>", '<details class="more">')
        return scrolling(html, words(self.lang, "table"))

    def linked(self, address: str) -> str:
        """The beginning of a link, where its address leads in the site; none leads to what the site lacks."""
        place = address if re.match(r"[a-z][a-z+.-]*:|#", address) else self.link(address)
        if not place:
            return "<a"
        outside = ' rel="noopener"' if re.match("https?:", place) else ""
        return f'<a href="{escape(place)}"{outside}'

    def index(self, cell: str, text: str, headed: bool = False) -> None:
        """Let the search find a text at a cell."""
        text = " ".join(text.split())
        if headed and self.page.sections:
            text = text.removeprefix(self.page.sections[-1][1]).removeprefix("#").strip()
        if not self.page.sections:
            self.page.sections.append([cell, self.page.title, []])
        if text:
            self.page.sections[-1][2].append([cell, text])

    def code(self, cell: nbformat.NotebookNode) -> str:
        """A cell of code with what it showed."""
        shown = [self.output(cell.id, number, output) for number, output in enumerate(cell.get("outputs", []))]
        texts = [text for _, text in shown if text]
        self.index(cell.id, " ".join([cell.source, *texts]))
        results = "".join(html for html, _ in shown)
        results = f'<div class="results">{results}</div>' if results else ""
        return f'<div class="cell code" id="{cell.id}">{coloured(cell.source)}{results}</div>'

    def output(self, cell: str, number: int, output: nbformat.NotebookNode) -> tuple[str, str]:
        """What a cell showed, as HTML and as text for the search."""
        data = output.get("data", {})
        text = output.get("text") or data.get("text/plain") or "\n".join(output.get("traceback", []))
        text = ANSI.sub("", text).rstrip()
        if "image/png" in data:
            alt = output.metadata.get("image/png", {}).get("alt") or text
            return self.picture(cell, number, b64decode(data["image/png"]), alt), alt
        if "text/html" in data:
            html = self.table(cell, number, data["text/html"])
            found = plain(re.sub(r"</t[dh]>", " ", html[:20000]))[:INDEXED_LETTERS]
            return f'<div class="output html">{html}</div>', found
        if not text:
            return "", ""
        return f'<pre class="output" dir="ltr">{escape(text)}</pre>', text[:INDEXED_LETTERS]

    def picture(self, cell: str, number: int | str, content: bytes, alt: str) -> str:
        """A picture as a file beside the page, with room kept for it."""
        width, height = unpack(">II", content[16:24])
        place = f"files/{self.page.name}/{cell}{f'-{number}' if number else ''}.png"
        self.page.files[place] = content
        shape = f'width="{width}" height="{height}"'
        how = f'{shape} alt="{escape(alt)}" loading="lazy" decoding="async"'
        return f'<p class="output picture"><img src="{place}" {how}></p>'

    def table(self, cell: str, number: int, html: str) -> str:
        """HTML that a cell showed: no style or heading of its own; sound becomes a file."""

        def image(match: re.Match) -> str:
            before = re.findall(r"<h[1-6][^>]*>(.*?)</h", html[: match.start()])
            place = f"{number}-{len(self.page.files)}"
            return self.picture(cell, place, b64decode(match[1]), plain(before[-1]) if before else "")

        def sound(match: re.Match) -> str:
            place = f"files/{self.page.name}/{cell}-{number}.{SOUND[match[1]]}"
            self.page.files[place] = b64decode(match[2])
            return f'src="{place}"'

        html = re.sub(r"<style.*?</style>", "", html, flags=re.S)
        html = re.sub(r'<img[^>]*src="data:image/png;base64,([^"]+)"[^>]*>', image, html)
        html = re.sub(r'src="data:(audio/\w+);base64,([^"]+)"', sound, html)
        html = re.sub(
            r"<audio\s+controls=\"controls\"\s*>",
            f'<audio controls preload="none" aria-label="{words(self.lang, "sound")}">',
            html,
        )
        html = re.sub(
            r"<(/?)h[1-6]\b[^>]*>", lambda found: f"<{found[1]}p" + ("" if found[1] else ' class="title"') + ">", html
        )
        html = re.sub(r'(<t[hd][^>]*) align="?(\w+)"?', r'\1 style="text-align:\2"', html)
        html = re.sub(r"<th( [^>]*)?></th>", r"<td\1></td>", html)
        html = SHADED.sub(opaque, html)
        html = re.sub(r' border="1"| valign="\w+"', "", html)
        html = re.sub(r'<tr style="text-align: right;">', "<tr>", html)
        return scrolling(html, words(self.lang, "table"))


def opaque(match: re.Match) -> str:
    """A shade of a table as it looks on white, with letters that can be read on it, by day and by night.

    >>> opaque(SHADED.match("background:rgba(0,114,178,0.50);color:black"))
    'background:#80b8d8;color:#000'
    """
    share = float(match[1])
    mixed = [round(255 * (1 - share) + part * share) for part in (0, 114, 178)]
    return f"background:#{''.join(f'{part:02x}' for part in mixed)};color:#{'fff' if share > 0.9 else '000'}"


def scrolling(html: str, name: str) -> str:
    """HTML whose tables scroll by themselves, also by the keyboard."""
    html = re.sub(r"<table(?! class)", '<table class="plain"', html)
    html = html.replace("<table", f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}"><table')
    return html.replace("</table>", "</table></div>")


def in_site(address: str) -> str:
    """Where a link of a notebook leads in the site.

    >>> in_site("05_trainer.ipynb#lr"), in_site("glossary.md#loss"), in_site("../x.py")
    ('05_trainer.html#lr', 'glossary.html#loss', '')
    """
    name, mark, anchor = address.partition("#")
    if "/" in name or not name.endswith((".ipynb", ".md")):
        return ""
    return f"{name.rsplit('.', 1)[0]}.html{mark}{anchor}"


def untranslated(lang: str, nb: nbformat.NotebookNode, chapter: str) -> set[str]:
    """Ids of the prose cells that are still in English."""
    if lang == SOURCE:
        return set()
    english = {cell.id: cell for cell in read(notebook(SOURCE, chapter)).cells}
    cells = [cell for cell in nb.cells if cell.id in english and cell.cell_type == "markdown"]
    alike = [cell for cell in cells if prose(cell) == prose(english[cell.id])]
    if alike and lang in listed("derived"):  # what the language it comes from has in English on purpose
        base = base_of(lang)
        return {cell.id for cell in alike} & untranslated(base, read(notebook(base, chapter)), chapter)
    return {cell.id for cell in alike if state(cell, english[cell.id]) != SAME}


def banner(lang: str, key: str) -> str:
    """A line at the head of a page that says what it lacks."""
    return f'<div class="admonition note"><p>{escape(words(lang, key))}</p></div>'


def chapter_page(lang: str, chapter: str, path: Path | None = None) -> Page:
    """A chapter as a page; where the language has none, in English, and it says so."""
    path = path or notebook(lang, chapter)
    own = path.is_file()
    nb = read(path if own else notebook(SOURCE, chapter))
    title = next(line for line in prose(nb.cells[0]).splitlines() if line.startswith("# "))[2:]
    page = Page(chapter, f"{chapter[:2]} {plain(title.replace('`', ''))}", meta={"chapter": chapter})
    renderer = Renderer(lang, page, in_site)
    english = untranslated(lang, nb, chapter) if own else {cell.id for cell in nb.cells}
    if english and lang != SOURCE:
        page.notes.append(f"{lang}/{chapter}: {len(english)} cells are shown in English")
    parts = [part_of(renderer, cell, cell.id in english, own) for cell in nb.cells]
    if not any(cell.get("outputs") for cell in nb.cells):
        page.notes.append(f"{lang}/{chapter}: no outputs; run make notebooks lang={lang} chapter={chapter}")
        parts.insert(1, banner(lang, "no_outputs"))
    if not own or len(english) > len(nb.cells) / 4:
        parts.insert(1, banner(lang, "in_english"))
    page.html = folded(parts, nb.cells, lang)
    return page


def part_of(renderer: Renderer, cell: nbformat.NotebookNode, english: bool, own: bool) -> str:
    """A cell's HTML; English prose in another language's chapter is marked."""
    if cell.cell_type == "code":
        return renderer.code(cell)
    if not english or renderer.lang == SOURCE:
        return renderer.prose(prose(cell), cell.id)
    mark = (
        f'<p class="english" lang="{renderer.lang}" dir="auto">{escape(words(renderer.lang, "english"))}</p>'
        if own
        else ""
    )
    return renderer.prose(prose(cell), cell.id, mark, ' lang="en" dir="ltr"')


def folded(parts: list[str], cells: list, lang: str) -> str:
    """The parts of a chapter in order, with the cells that set it up folded."""
    setup = [part for part in parts if re.match(rf'<div class="cell code" id="(?:{"|".join(SETUP)})"', part)]
    if not setup:
        return "\n".join(parts)
    first = parts.index(setup[0])
    rest = [part for part in parts if part not in setup]
    fold = f'<details class="more setup"><summary>{escape(words(lang, "setup"))}</summary>{"".join(setup)}</details>'
    return "\n".join([*rest[:first], fold, *rest[first:]])


def glossary_page(lang: str) -> Page:
    """The glossary as a page."""
    text = prose(nbformat.v4.new_markdown_cell((notebook(lang, "00_start").parent / "glossary.md").read_text("utf-8")))
    page = Page("glossary", re.search("^# (.+)$", text, re.M)[1], meta={"kind": "glossary"})
    renderer = Renderer(lang, page, in_site)
    blocks = re.split(r"^(?=### )", text, flags=re.M)
    names = [re.search(r'<a id="([^"]+)"', block) for block in blocks]
    entries = [
        renderer.prose(block, name[1] if name else "glossary") for block, name in zip(blocks, names, strict=True)
    ]
    page.html = f'<div class="terms">{"".join(entries)}</div>'
    return page


def tables_page(lang: str) -> Page:
    """The reference on tables of one's own as a page."""
    text = prose(nbformat.v4.new_markdown_cell((notebook(lang, "00_start").parent / "tables.md").read_text("utf-8")))
    page = Page("tables", re.search("^# (.+)$", text, re.M)[1])
    renderer = Renderer(lang, page, in_site)
    blocks = re.split(r"^(?=## )", text, flags=re.M)
    page.html = "".join(renderer.prose(block, f"tables-{number}") for number, block in enumerate(blocks))
    return page
