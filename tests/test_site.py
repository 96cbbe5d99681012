"""The website as it is built: links, headings, pictures, nothing from outside; and what it does with bad input."""

import gzip
import json
import re
import threading
from http.client import HTTPConnection
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine.checks import LANGS
from ftcourse.engine.messages import catalogue
from ftcourse.engine.website import make_server
from tests.built import seen
from tests.test_messages import SCRIPTS
from tools import site as building
from tools.pages import Page, Renderer, chapter_page, direction, in_site
from tools.readme import sections, start, table
from tools.reference import lesson_modules
from tools.settings import ROOT, chapters, languages, notebook, settings
from tools.translate import read

OUTSIDE = re.compile(r"^(?:[a-z][a-z+.-]*:)?//|^(?!data:)[a-z][a-z+.-]*:")
URL = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")


def pages(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.html"))


def where(page: Path, link: str, root: Path) -> tuple[Path, str]:
    """The file and the place that a link of a page leads to."""
    name, _, anchor = link.partition("#")
    return ((page.parent / name).resolve() if name else page), anchor


@pytest.mark.parametrize("lang", languages())
def test_links_lead_to_a_page_and_a_place_in_it(site, lang):
    broken = []
    for page in pages(site / lang):
        for link in set(seen(page).links):
            if re.match(r"https?:|javascript:|mailto:", link):
                continue
            path, anchor = where(page, link, site)
            if not path.is_file() or (anchor and path.suffix == ".html" and anchor not in seen(path).ids):
                broken.append(f"{page.name}: {link}")
    assert broken == []
    assert len(pages(site / lang)) > 30


@pytest.mark.parametrize("lang", languages())
def test_headings_are_in_order_names_are_not_doubled_and_pictures_are_described(site, lang):
    wrong = []
    for page in pages(site / lang):
        found = seen(page)
        levels = [level for level, _ in found.headings]
        if levels.count(1) != 1 or levels[0] != 1:
            wrong.append(f"{page.name}: {levels.count(1)} headings of the first level, the first is {levels[:1]}")
        wrong += [f"{page.name}: h{a} h{b}" for a, b in zip(levels, levels[1:], strict=False) if b > a + 1]
        doubled = {name for name in found.ids if found.ids.count(name) > 1}
        wrong += [f"{page.name}: {name} is there twice" for name in doubled]
        wrong += [
            f"{page.name}: {p.get('src')} is not described" for p in found.pictures if not p.get("alt", "").strip()
        ]
        wrong += [f"{page.name}: {p['src']} has no room" for p in found.pictures if not p.get("width")]
        assert (found.lang, found.direction) == (lang, direction(lang)) or found.direction == ""
    assert wrong == []
    assert sum(len(seen(page).pictures) for page in pages(site / lang)) > 50


def test_nothing_is_fetched_from_outside(site):
    fetched = {place for page in site.rglob("*.html") for place in seen(page).fetched}
    styles = [*site.rglob("*.css"), *site.rglob("*.svg"), site / "index.html", site / "404.html"]
    fetched |= {first or second for path in styles for first, second in URL.findall(path.read_text("utf-8"))}
    assert len(fetched) > 60
    assert [place for place in fetched if OUTSIDE.match(place)] == []
    assert not list(site.rglob("*.map")) and not list(site.rglob("lunr"))


@pytest.mark.parametrize("lang", languages())
def test_every_chapter_is_there_whole(site, lang):
    for chapter in chapters():
        text = (site / lang / f"{chapter}.html").read_text(encoding="utf-8")
        cells = read(notebook(lang, chapter)).cells
        assert [cell.id for cell in cells if f'id="{cell.id}"' not in text] == []
        assert text.count('class="output') >= sum(len(cell.get("outputs", [])) > 0 for cell in cells)
        assert (site / lang / "notebooks" / f"{chapter}.ipynb").read_bytes() == notebook(lang, chapter).read_bytes()
        assert "colab.research" not in re.sub(r"<article.*</article>", "", text, flags=re.S)
        assert '<div class="run">' in text and f"ftcourse lab --lang {lang}" in text
    assert (site / lang / "index.html").read_text("utf-8").count('<span class="number"') == len(chapters())


def test_places_are_the_same_in_every_language(site):
    for chapter in (*chapters(), "glossary", "reference-loop", "live"):
        names = {lang: {n for n in seen(site / lang / f"{chapter}.html").ids if n[:2] != "__"} for lang in languages()}
        assert all(names[lang] == names["en"] for lang in languages()), chapter


def test_quiz_options_know_whether_they_are_right(site):
    text = (site / "ar" / "00_start.html").read_text(encoding="utf-8")
    first = re.search(r'id="quiz-1".*?</div>', text, re.S)[0]
    assert re.findall(r'<details class="option (\w+)">', first) == ["wrong", "wrong", "right"]


def test_the_wheels_reference_names_every_lessons_functions(site):
    for module in lesson_modules():
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        names = set(re.findall(r"^(?:def|class) ([A-Za-z]\w*)", source, re.M))
        assert names <= {*seen(site / "en" / f"reference-{module.split('.')[1]}.html").ids}


def test_the_readmes_have_what_the_pages_take():
    for lang in languages():
        assert [len(section) for section in sections(lang)] == [len(section) for section in sections("en")]
        assert [len(part) for part in start(lang)] == [len(part) for part in start("en")]
        assert [*table(lang)] == chapters()


@pytest.mark.parametrize("lang", LANGS)
def test_the_sites_words_are_in_each_language(lang):
    said = {key: text for key, text in catalogue(lang, "site").items() if key not in ("name",)}
    assert [*catalogue(lang, "site")] == [*catalogue("en", "site")]
    assert [key for key, text in said.items() if not SCRIPTS[lang](text)] == []


def test_the_builder_is_told_what_is_not_there(site):
    notes = site.with_suffix(".txt")
    notes = notes.read_text(encoding="utf-8").splitlines() if notes.is_file() else []
    assert [note for note in notes if "/live" not in note] == []


@pytest.fixture
def book(tmp_path):
    """Writes a changed copy of a chapter, and gives its place."""

    def write(change) -> Path:
        nb = nbformat.read(notebook("ar", "00_start"), as_version=4)
        change(nb)
        nbformat.write(nb, tmp_path / "00_start.ipynb")
        return tmp_path / "00_start.ipynb"

    return write


def test_a_chapter_without_outputs_is_told(book):
    def empty(nb):
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = []

    page = chapter_page("ar", "00_start", book(empty))
    assert any("no outputs" in note for note in page.notes)
    assert catalogue("ar", "site")["no_outputs"] in page.html


def test_a_language_half_translated_is_shown_in_english_and_marked(book):
    english = {cell.id: cell for cell in read(notebook("en", "00_start")).cells}

    def undo(nb):
        for cell in [cell for cell in nb.cells if cell.cell_type == "markdown"][10:]:
            cell.source = english[cell.id].source
            cell.metadata.pop("ftcourse", None)

    page = chapter_page("ar", "00_start", book(undo))
    assert catalogue("ar", "site")["in_english"] in page.html and any("in English" in note for note in page.notes)
    marked = re.findall(r'<div class="cell prose"[^>]* lang="en" dir="ltr"><p class="english"', page.html)
    assert 10 < len(marked) < len(english)


def test_a_chapter_that_is_not_translated_is_shown_in_english(tmp_path):
    page = chapter_page("ar", "00_start", tmp_path / "none.ipynb")
    assert "Start here" in page.html and catalogue("ar", "site")["in_english"] in page.html


def test_the_button_for_colab_comes_with_the_address(monkeypatch):
    assert "colab" not in building.run_box("ar", "05_trainer")
    monkeypatch.setattr(building, "repository", lambda: "some/where")
    box = building.run_box("ar", "05_trainer")
    assert f"colab.research.google.com/github/some/where/blob/{settings()['branch']}/nbs/ar/05_trainer.ipynb" in box


def test_levels_are_not_skipped_and_a_formula_that_cannot_be_shown_is_told():
    renderer = Renderer("en", Page("x", "X"), in_site)
    assert [renderer.level(written) for written in (1, 3, 3, 2, 3, 4, 2)] == [1, 2, 2, 2, 3, 4, 2]
    with pytest.raises(ValueError, match="frac"):
        renderer.prose(r"$\frac{1}{2}$", "cell")


def test_the_search_folds_traditional_letters(site):
    texts = json.loads((site / "en" / "search" / "texts.json").read_text(encoding="utf-8"))
    assert texts["variants"]["調"] == "调" and len(texts["pages"]) == len(pages(site / "en"))


def test_models_come_into_the_page_where_they_were_built(monkeypatch, tmp_path):
    monkeypatch.setattr(building, "LIVE", tmp_path)
    assert catalogue("ar", "site")["live_missing"] in building.live_page("ar").html
    assert building.with_memory("ar", Page("x", "X")).html == ""
    (tmp_path / "words").mkdir()
    told = {"page.about": "about", **{f"{kind}.title": kind for kind in building.KINDS}}
    (tmp_path / "words" / "ar.json").write_text(json.dumps(told))
    (tmp_path / "quiz.js").touch()
    page = building.live_page("ar")
    assert page.html.count('data-lang="ar"') == len(building.KINDS) == len(page.headings) - 1 and not page.notes
    assert 'src="../live/live.js"' in page.html and "quiz.js" in building.with_memory("ar", Page("x", "X")).html


@pytest.fixture
def small(tmp_path):
    """A server for a little site, and its port."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<p>first</p>" * 200)
    (folder / "404.html").write_text("none here")
    (folder / "a.mp3").write_bytes(bytes(range(100)))
    (tmp_path / "secret.txt").write_text("secret")
    (folder / "out").symlink_to(tmp_path / "secret.txt")
    with make_server(folder, port=0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def ask(port: int, path: str, **headers: str):
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_the_server_packs_pages_and_knows_what_has_not_changed(small):
    answer, body = ask(small, "/", Accept_Encoding="gzip")
    assert answer.status == 200 and gzip.decompress(body).startswith(b"<p>first") and len(body) < 200
    again, nothing = ask(small, "/", If_None_Match=answer.headers["ETag"])
    assert (again.status, nothing) == (304, b"")
    assert ask(small, "/index.html")[1].startswith(b"<p>first")


@pytest.mark.parametrize(
    "path", ["/none.html", "/../secret.txt", "/%2e%2e/secret.txt", "/out", "//etc/passwd", "/%00", f"/{'x' * 300}"]
)
def test_the_server_gives_nothing_from_outside_its_folder(small, path):
    answer, body = ask(small, path)
    assert answer.status == 404 and b"secret" not in body and b"root:" not in body


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=10-19", 10, 19), ("bytes=90-", 90, 99), ("bytes=-5", 95, 99), ("bytes=0-1000", 0, 99), ("x", 0, 99)],
)
def test_the_server_sends_a_part_of_a_file(small, asked, first, last):
    answer, body = ask(small, "/a.mp3", Range=asked)
    assert list(body) == list(range(first, last + 1))
    assert answer.status == (206 if (first, last) != (0, 99) else 200)


@pytest.mark.parametrize("lang", LANGS)
def test_a_port_in_use_and_a_site_that_is_not_there_are_told_in_the_readers_language(small, lang, tmp_path):
    calls = [["--folder", str(tmp_path / "site"), "--port", str(small)], ["--folder", str(tmp_path)]]
    for call in calls:
        done = CliRunner().invoke(app, ["site", *call, "--lang", lang])
        text = done.stderr.replace(str(tmp_path), "")
        assert done.exit_code == 1 and SCRIPTS[lang](text) and len(text.splitlines()) == 1
    assert "make site" in text
