"""The bank: counts, lengths, scripts and repetitions; and the check itself, made to fail."""

from dataclasses import replace

import pytest

from kit.bank import ASPECTS, LANGS, OPENING, problems, read_bank, read_domain
from kit.near import near_copies


@pytest.fixture(scope="module")
def bank():
    return read_bank()


def test_bank_is_sound(bank):
    assert problems(bank) == []


def test_bank_is_large_enough(bank):
    clauses = [c for c in bank if c.aspect != OPENING]
    assert len(ASPECTS) == 2 and all(len(aspects) == 6 for aspects in ASPECTS.values())
    assert len(clauses) == 600
    assert [c.id for c in bank] == list(range(len(bank)))


@pytest.mark.parametrize("lang", LANGS)
def test_no_row_is_a_near_copy_of_another(bank, lang):
    assert near_copies([c.text(lang) for c in bank], lang) == []


def with_text(clause, lang, text):
    return replace(clause, texts=tuple(text if name == lang else clause.text(name) for name in LANGS))


@pytest.mark.parametrize(
    ("lang", "text", "said"),
    [
        ("en", "good", "words or characters"),
        ("ar", "the waiter was kind", "characters of another script"),
        ("zh", "这家店还不错。", "another script"),
        ("zh-Hant", "這家店還不錯。", "another script"),
        ("en", "the food was really very good ", "ends in a space"),
    ],
)
def test_the_check_finds_what_is_wrong(lang, text, said):
    rows = read_domain("restaurant")
    assert not problems(rows)
    rows[0] = with_text(rows[0], lang, text)
    assert any(said in line for line in problems(rows))


def test_the_check_counts_the_rows_of_a_level():
    rows = read_domain("restaurant")
    rows[0] = replace(rows[0], stars=4)
    assert any("rows, expected" in line for line in problems(rows))


def test_the_check_finds_a_repetition():
    rows = read_domain("restaurant")
    rows[1] = with_text(rows[1], "en", rows[0].text("en").upper())
    assert any("repeats" in line for line in problems(rows))


def test_the_near_copy_check_finds_a_swapped_word():
    texts = ["the soup arrived cold and the waiter shrugged", "the stew arrived cold and the waiter shrugged"]
    assert near_copies(texts, "en")
    assert near_copies(["服务员态度特别差劲一直板着脸", "收银员态度特别差劲一直板着脸"], "zh")
