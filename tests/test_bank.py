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
    assert len(ASPECTS) >= 7 and all(len(aspects) >= 6 for aspects in ASPECTS.values())
    assert len(clauses) >= 1260
    assert [c.id for c in bank] == list(range(len(bank)))


@pytest.mark.parametrize("lang", LANGS)
def test_no_row_is_a_near_copy_of_another(bank, lang):
    assert near_copies([c.text(lang) for c in bank], lang) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"en": "short one"}, "words or characters"),
        ({"ar": "the waiter was kind"}, "characters of another script"),
        ({"zh": "这家店还不错。"}, "another script"),
        ({"en": "the food was really very good "}, "ends in a space"),
        ({"stars": 4}, "rows, expected"),
    ],
)
def test_the_check_finds_what_is_wrong(change, said):
    rows = read_domain("restaurant")
    assert not problems(rows)
    rows[0] = replace(rows[0], **change)
    assert any(said in line for line in problems(rows))


def test_the_check_finds_a_repetition():
    rows = read_domain("restaurant")
    rows[1] = replace(rows[1], en=rows[0].en.upper())
    assert any("repeats" in line for line in problems(rows))


def test_the_near_copy_check_finds_a_swapped_word():
    texts = ["the soup arrived cold and the waiter shrugged", "the stew arrived cold and the waiter shrugged"]
    assert near_copies(texts, "en")
    assert near_copies(["服务员态度特别差劲一直板着脸", "收银员态度特别差劲一直板着脸"], "zh")
