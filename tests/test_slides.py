"""Slides: what is on them, that nothing on them is fetched from outside, and that they open in Chromium."""

import re
import time

import pytest

from tests.built import Seen
from tests.chromium import start_chromium
from tools.pages import direction
from tools.settings import languages, notebook
from tools.slides import deck_of, html_of, main
from tools.translate import read

DECKS = {"en": "00_start", "ar": "05_trainer", "zh": "12_images", "zh-Hant": "11_sound"}
FETCHED = ["../reveal/deck.css", "../reveal/notes.js", "../reveal/reveal.css", "../reveal/reveal.js"]


def slides(lang: str) -> list:
    return deck_of(lang, DECKS[lang]).cells


def visible(cells: list) -> str:
    return "\n".join(cell.source for cell in cells if cell.metadata.slideshow.slide_type != "notes")


def test_there_is_a_deck_for_every_language():
    assert [*DECKS] == languages()


@pytest.mark.parametrize("lang", DECKS)
def test_a_deck_asks_for_nothing_outside_and_describes_its_pictures(lang):
    page = Seen(html_of(lang, DECKS[lang]))
    assert sorted(place for place in page.fetched if not place.startswith("data:")) == FETCHED
    assert (page.lang, page.direction) == (lang, direction(lang))
    assert [link for link in page.links if not re.match("https?:", link)] == []
    assert len(page.pictures) >= 3
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in page.pictures)
    assert all(len(picture["alt"]) > 20 for picture in page.pictures)


@pytest.mark.parametrize("lang", DECKS)
def test_headings_pictures_and_quizzes_are_on_slides_and_exercises_are_not(lang):
    cells, nb = slides(lang), read(notebook(lang, DECKS[lang]))
    drawn = [cell for cell in nb.cells if any("image/png" in o.get("data", {}) for o in cell.get("outputs", []))]
    assert sum("image/png" in str(cell.get("outputs")) for cell in cells) == len(drawn) >= 3
    ids = [cell.id for cell in nb.cells]
    assert visible(cells).count("<details>") == sum(
        cell.source.count("<details>") for cell in nb.cells if cell.id.startswith("quiz")
    )
    assert "check(" not in visible(cells) and "exercise-1" in ids
    assert cells[0].source.startswith("# ") and cells[0].metadata.slideshow.slide_type == "slide"
    assert sum(cell.metadata.slideshow.slide_type == "slide" for cell in cells) >= 5


def test_long_prose_is_in_the_notes_and_its_question_on_the_slide():
    cells = slides("en")
    [at] = [i for i, cell in enumerate(cells) if cell.source == "**What will the model reach? Write your guess down**"]
    assert "The simplest is **accuracy**" in cells[at + 1].source
    assert cells[at + 1].metadata.slideshow.slide_type == "notes"


def test_a_deck_opens_in_chromium_right_to_left_with_a_picture(tmp_path, capsys):
    main(["--lang", "ar", "--chapter", DECKS["ar"], "--out", str(tmp_path)])
    assert capsys.readouterr().out.strip().endswith("05_trainer.html")
    browser = start_chromium()
    try:
        browser.get((tmp_path / "ar" / "05_trainer.html").as_uri())
        for _ in range(100):
            if browser.execute_script("return window.Reveal !== undefined && Reveal.isReady()"):
                break
            time.sleep(0.2)
        assert (
            browser.execute_script("return Reveal.getConfig().rtl && getComputedStyle(document.body).direction")
            == "rtl"
        )
        assert browser.execute_script("return Reveal.getTotalSlides()") > 30
        shown = browser.execute_script(
            """const image = document.querySelector(".slides img"), slide = image.closest("section");
            const { h, v } = Reveal.getIndices(slide);
            Reveal.slide(h, v);
            const sizes = [image.naturalWidth, image.clientHeight];
            return [slide === Reveal.getCurrentSlide(), image.complete, ...sizes.map(size => size > 100)];"""
        )
        assert shown == [True, True, True, True]
        fetched = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert [place for place in fetched if not place.startswith(("file:", "data:"))] == []
    finally:
        browser.quit()


@pytest.mark.parametrize("wrong", [["--chapter", "99_nothing"], ["--lang", "fr"]])
def test_what_there_is_not_is_told_with_what_there_is(wrong, capsys):
    with pytest.raises(SystemExit):
        main(wrong)
    assert "invalid choice" in capsys.readouterr().err
