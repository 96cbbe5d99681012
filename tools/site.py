"""Builds the website: `python -m tools.site [--lang ar] [--out build/site]`, with a line a language.

Each language is a folder of pages, made by Material for MkDocs from the executed notebooks, the glossary, the READMEs
and the package's docstrings. Nothing in it asks for an address outside. A chapter without outputs or with English left
in it is told; what other parts of the project have not built is left out, with a line on its page that says so.
"""

import argparse
import json
import logging
import os
import re
import shutil
import sys
import time
from html import escape
from pathlib import Path
from string import Template

from mkdocs.commands.build import build as generate
from mkdocs.config import load_config
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import BasePlugin
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page as Written
from mkdocs.structure.toc import get_toc

from ftcourse.engine.messages import catalogue
from ftcourse.room.frame import LANGUAGES
from tools.conversion import converter
from tools.pages import Page, chapter_page, direction, glossary_page, tables_page, words
from tools.readme import Entry, home_page, install_page, table, teachers_page
from tools.reference import reference_pages
from tools.settings import BUILD, ROOT, chapters, languages, notebook, repository, settings
from tools.teachers import notes_page, with_notes

CONFIG = ROOT / "site" / "mkdocs.yml"
LIVE = BUILD / "live"  # models for the page, where they were built
SLIDES = BUILD / "slides"  # and slides
NOTEBOOKS = "notebooks"
WORKER = re.compile(r"assets/javascripts/workers/search\.\w+\.min\.js")
UNUSED = ("assets/javascripts/lunr", "assets/javascripts/workers", "sitemap.xml.gz")


def run_box(lang: str, chapter: str) -> str:
    """How to run a chapter: download it, open it in JupyterLab, and in Colab where the course has an address there."""
    file = f"{NOTEBOOKS}/{chapter}.ipynb"
    local = settings()["lab"].format(lang=lang, chapter=chapter)
    command = f"ftcourse lab --lang {lang}"
    colab = ""
    if repository():
        place = f"{repository()}/blob/{settings()['branch']}/nbs/{lang}/{chapter}.ipynb"
        place = f"https://colab.research.google.com/github/{place}"
        colab = f'<a class="button plain" href="{place}">{words(lang, "colab")}</a>'
    return (
        f'<div class="run"><p>{escape(words(lang, "run"))}</p><p class="buttons">'
        f'<a class="button plain" href="{file}" download>{words(lang, "download")}</a>{colab}</p>'
        f'<details class="more lab"><summary>{words(lang, "lab")}</summary><p>{words(lang, "lab_how")}</p>'
        f'<pre dir="ltr"><code>{command}</code></pre>'
        f'<p><a class="button plain" href="{local}">{words(lang, "lab_open")}</a></p></details></div>'
    )


def with_run_box(lang: str, page: Page) -> Page:
    """A chapter's page with the box that says how to run it, behind its first cell."""
    head, end, rest = page.html.partition("</div>\n")
    page.html = f"{head}{end}{run_box(lang, page.name)}{rest}"
    page.files[f"{NOTEBOOKS}/{page.name}.ipynb"] = notebook(lang, page.name).read_bytes()
    return page


KINDS = ("tokens", "stars", "words", "hidden", "similar", "attention")  # what live.js can put into a page


def live_page(lang: str) -> Page:
    """The page on which models run in the browser; where they were not built, it says so."""
    page = Page("live", words(lang, "live_title"), meta={"kind": "live"})
    head = f"<h1>{escape(page.title)}</h1>"
    page.sections.append(["live", page.title, []])
    told = LIVE / "words" / f"{lang}.json"
    if not told.is_file():
        page.html = f'{head}<div class="admonition note"><p>{escape(words(lang, "live_missing"))}</p></div>'
        page.notes.append(f"{lang}/live: build/live is not there (make live); the page says so")
        return page
    said = json.loads(told.read_text(encoding="utf-8"))
    page.headings.append((1, "live", page.title))
    parts = [head.replace("<h1", '<h1 id="live"'), f"<p>{escape(said['page.about'])}</p>"]
    for kind in KINDS:
        title = said[f"{kind}.title"]
        page.headings.append((2, kind, escape(title)))
        page.sections.append([kind, title, []])
        parts.append(f'<h2 id="{kind}">{escape(title)}</h2><div data-live="{kind}" data-lang="{lang}"></div>')
    page.html = "".join([*parts, LIVE_LOOK, '<script type="module" src="../live/live.js"></script>'])
    return page


LIVE_LOOK = '<link rel="stylesheet" href="../live/live.css">'


def with_memory(lang: str, page: Page) -> Page:
    """A chapter's page that remembers, on the reader's device, which questions were solved."""
    if (LIVE / "quiz.js").is_file():
        call = f'remember(document.querySelector("article"), "{page.name}", "{lang}")'
        page.html += f'{LIVE_LOOK}<script type="module">import {{ remember }} from "../live/quiz.js"; {call}</script>'
    return page


def pages_of(lang: str) -> list[Page]:
    """All pages of a language, in the order of the contents."""
    lessons = [with_memory(lang, with_run_box(lang, chapter_page(lang, chapter))) for chapter in chapters()]
    titles = {page.name: page.title for page in lessons}
    others = [live_page(lang), glossary_page(lang), tables_page(lang), teachers_page(lang, titles)]
    minutes = {chapter: table(lang).get(chapter, Entry("", "")).minutes for chapter in with_notes(lang)}
    slides = {chapter for chapter in minutes if (SLIDES / lang / f"{chapter}.html").is_file()}
    notes = [notes_page(lang, chapter, minutes[chapter], chapter in slides) for chapter in minutes]
    for page in others[1:3]:  # beside the notebooks, which link to them
        source = notebook(lang, chapters()[0]).with_name(f"{page.name}.md")
        page.files[f"{NOTEBOOKS}/{source.name}"] = source.read_bytes()
    return [home_page(lang, titles), install_page(lang), *lessons, *others, *notes, *reference_pages(lang)]


def contents(lang: str, pages: list[Page]) -> list[dict]:
    """The contents as the generator wants them."""

    def entry(page: Page, title: str = "") -> dict:
        return {title or page.title: f"{page.name}.md"}

    by_name = {page.name: page for page in pages}
    lessons = [entry(by_name[chapter]) for chapter in chapters()]
    notes = [entry(by_name["teachers"], words(lang, "teachers_overview"))]
    notes += [entry(by_name[f"teachers-{chapter}"], by_name[chapter].title) for chapter in with_notes(lang)]
    reference = [entry(page) for page in pages if page.name.startswith("reference")]
    return [
        entry(by_name["index"], words(lang, "nav_home")),
        entry(by_name["install"]),
        {words(lang, "nav_chapters"): lessons},
        *(entry(by_name[name]) for name in ("live", "glossary", "tables")),
        {words(lang, "nav_teachers"): notes},
        {words(lang, "nav_reference"): reference},
    ]


class Course(BasePlugin):
    """Gives the generator the pages of a language."""

    def __init__(self, pages: list[Page]):
        self.pages = {f"{page.name}.md": page for page in pages}
        self.files = {place: content for page in pages for place, content in page.files.items()}

    def on_files(self, files: Files, *, config: MkDocsConfig) -> Files:
        for name in self.pages:
            files.append(File.generated(config, name, content=""))
        for place, content in self.files.items():
            if not place.endswith((".md", ".ipynb")):
                files.append(File.generated(config, place, content=content))
        return files

    def on_page_markdown(self, markdown: str, *, page: Written, **_) -> str:
        page.meta |= self.pages[page.file.src_uri].meta | {"search": {"exclude": True}}
        return ""

    def on_page_content(self, html: str, *, page: Written, **_) -> str:
        made = self.pages[page.file.src_uri]
        page.toc = get_toc(made.toc)
        return made.html

    def on_post_page(self, output: str, **_) -> str:
        return WORKER.sub("assets/search.js", output)

    def on_post_build(self, *, config: MkDocsConfig) -> None:
        for place, content in self.files.items():  # what the generator would take for pages of its own
            if place.endswith((".md", ".ipynb")):
                path = Path(config.site_dir, place)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


def configuration(lang: str, pages: list[Page], out: Path) -> MkDocsConfig:
    """The generator's settings for a language."""
    own = catalogue(lang, "site")
    schemes = [("light", "default", "dark", "weather-night"), ("dark", "slate", "light", "weather-sunny")]
    palette = [
        {
            "media": f"(prefers-color-scheme: {now})",
            "scheme": scheme,
            "toggle": {"icon": f"material/{icon}", "name": own[then]},
        }
        for now, scheme, then, icon in schemes
    ]
    extra = {
        "lang": lang,
        "direction": direction(lang),
        "words": own,
        "languages": [(code, LANGUAGES.get(code, code)) for code in languages()],
        "generator": False,
    }
    config = load_config(
        str(CONFIG), site_dir=str(out), nav=contents(lang, pages), extra=extra, site_description=own["description"]
    )
    config.theme["palette"] = palette
    config.theme.static_templates = {"sitemap.xml"}  # which the theme asks for; the 404 page is ours
    config.plugins["ftcourse"] = Course(pages)
    return config


def variants() -> dict[str, str]:
    """Traditional letters of the course, and the simplified ones that the search takes them for."""
    convert = converter("t2s")
    letters = {letter for path in (ROOT / "nbs" / "zh-Hant").glob("*.*") for letter in path.read_text("utf-8")}
    han = sorted(letter for letter in letters if "\u3400" <= letter <= "\u9fff")
    return {letter: simple for letter in han if len(simple := convert(letter)) == 1 and simple != letter}


def write_texts(pages: list[Page], out: Path, folded: dict[str, str]) -> None:
    """What the search of a language finds; the theme's own index stays empty."""
    found = [{"location": f"{page.name}.html", "title": page.title, "sections": page.sections} for page in pages]
    folder = out / "search"
    folder.mkdir(exist_ok=True)
    texts = json.dumps({"pages": found, "variants": folded}, ensure_ascii=False, separators=(",", ":"))
    (folder / "texts.json").write_text(texts, encoding="utf-8")
    (folder / "search_index.json").write_text('{"config":{},"docs":[]}', encoding="utf-8")


def build_language(lang: str, out: Path, folded: dict[str, str]) -> list[str]:
    """Builds one language. Returns what the builder should know."""
    logging.getLogger("mkdocs").setLevel(logging.ERROR)
    pages = pages_of(lang)
    generate(configuration(lang, pages, out))
    write_texts(pages, out, folded)
    for place in UNUSED:
        path = out / place
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in out.rglob("*.map"):
        path.unlink()
    for path in [*out.glob("assets/**/*.js"), *out.glob("assets/**/*.css")]:
        text = path.read_text(encoding="utf-8")
        path.write_text(re.sub(r"(//|/\*)# sourceMappingURL=\S+( \*/)?", "", text), encoding="utf-8")
    return [note for page in pages for note in page.notes]


def write_choice(langs: list[str], out: Path) -> None:
    """The first page, which leads to the reader's language, and the one for addresses that there are not."""
    page = Template((CONFIG.parent / "choice.html").read_text(encoding="utf-8"))
    links = "".join(
        f'<li><a href="{lang}/index.html" lang="{lang}" dir="auto">{LANGUAGES.get(lang, lang)}</a></li>'
        for lang in langs
    )
    first = page.substitute(title="ftcourse", links=links, langs=json.dumps(langs))
    (out / "index.html").write_text(first, encoding="utf-8")
    lost = "".join(
        f'<li><a href="/{lang}/index.html" lang="{lang}" dir="auto">{escape(words(lang, "missing_title"))}'
        f"<p>{escape(words(lang, 'missing'))}</p></a></li>"
        for lang in langs
    )
    (out / "404.html").write_text(page.substitute(title="404", links=lost, langs="[]"), encoding="utf-8")


def build_site(langs: list[str], out: Path) -> list[str]:
    """Builds the site in a folder beside `out`, and puts it there when it is whole. Returns what should be known."""
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    notes, folded = [], variants()
    for lang in langs:
        started = time.monotonic()
        notes += build_language(lang, part / lang, folded)
        count = len(list((part / lang).glob("*.html")))
        print(f"{lang:8} {count} pages  {time.monotonic() - started:.1f} s", flush=True)
    write_choice(langs, part)
    for folder in (LIVE, SLIDES):
        if folder.is_dir():
            shutil.copytree(folder, part / folder.name)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(part, out)
    return notes


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the course's website.")
    parser.add_argument("--lang", action="append", choices=languages(), help="only this language")
    parser.add_argument("--out", type=Path, default=BUILD / "site")
    options = parser.parse_args(arguments)
    for note in build_site(options.lang or languages(), options.out):
        print(note, file=sys.stderr)
    print(f"{options.out.resolve()}: ftcourse site shows it")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
