"""The glossary: whole in every language, its pages what the table gives, and terms linked where they are first used."""

import re

import pytest
from nbformat.v4 import new_markdown_cell, new_notebook

from tools.glossary import anchor, defined, heading, pages, unlinked, unlinked_terms
from tools.links import anchors
from tools.settings import languages
from tools.translate import glossary


def test_every_term_is_in_every_language_and_defined_in_all_or_none():
    terms = glossary()
    assert len(defined()) >= 95
    assert len({anchor(term["en"]) for term in terms}) == len(terms)
    for term in terms:
        assert all(term[lang] for lang in languages()), term["en"]
        assert len({bool(term[f"{lang}_definition"]) for lang in languages()}) == 1, term["en"]


@pytest.mark.parametrize("lang", languages())
def test_no_term_is_defined_by_itself(lang):
    for term in defined():
        name = re.sub(r"\s*[(（].*", "", term[lang])
        text = term[f"{lang}_definition"]
        found = re.search(rf"\b{re.escape(name)}\b", text, re.I) if lang in ("en", "ar") else name in text
        assert not found, (term["en"], text)
        assert 8 <= len(text) <= 180 and text[-1] in ".؟。", term["en"]


def test_pages_are_what_the_table_gives():
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path} is out of step; run python -m tools.glossary"
        assert anchors(text) == {anchor(term["en"]) for term in defined()}
    assert len(pages()) == len(languages())


def test_the_arabic_page_runs_right_to_left():
    texts = {path.parent.name: text for path, text in pages().items()}
    assert texts["ar"].startswith('<div dir="rtl">') and "<div" not in texts["en"]
    assert all(
        heading(term, "ar") in texts["ar"] and term["ar_definition"].split("`")[0] in texts["ar"] for term in defined()
    )


def book(*texts: str, ids: tuple[str, ...] = ()):
    cells = [new_markdown_cell(text) for text in ("# Loss\n\n> A loss.", *texts)]
    for cell, name in zip(cells[1:], ids, strict=False):
        cell.id = name
    return new_notebook(cells=cells)


def said(*books) -> list[tuple[str, str]]:
    named = {f"{number:02}": nb for number, nb in enumerate(books)}
    return [(note.chapter, note.text) for note in unlinked(named, ["loss", "attention", "attention mask", "Hub"])]


LOSS = "the first use of loss is no link to glossary.md#loss"


@pytest.mark.parametrize(
    "texts",
    [
        ["A [loss](glossary.md#loss), then losses."],
        ["To [lose](glossary.md#loss) something. The loss."],
        ["## The loss\n\n`loss` and $loss$ and [the loss](https://a.org)"],
        ["An [attention mask](glossary.md#attention-mask) is no [attention](glossary.md#attention)."],
        ["a hub"],
    ],
)
def test_first_uses_that_are_links_are_right(texts):
    assert said(book(*texts)) == []


def test_a_first_use_that_is_no_link_is_named_once():
    linked = "The [loss](glossary.md#loss)."
    assert said(book("The loss.", linked)) == [("00", LOSS)]
    assert said(book("No word."), book("Losses.", "The loss."), book(linked)) == [("01", LOSS)]
    assert said(book(linked), book("The loss.")) == []
    assert [text.split(" is ")[0] for _, text in said(book("Attention masks on the Hub."))] == [
        "the first use of attention-mask",
        "the first use of hub",
    ]


def test_quizzes_do_not_count_and_links_to_nothing_are_named():
    assert said(book("The loss?", "Losses?", ids=("quiz-1", "quiz"))) == []
    assert said(book("A [gain](glossary.md#gain).")) == [("00", "glossary.md#gain is in no glossary")]


def test_terms_link_to_the_glossary_where_they_are_first_used():
    assert [str(note) for note in unlinked_terms()] == []
