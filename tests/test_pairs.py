"""The sentence pairs: what their files hold, how the pairs are made, and what the check finds."""

from collections import Counter

import pytest

from kit import pairs
from kit.pairs import ITEMS, LANGS, SIZES, WORDINGS, items, problems

HEAD = "\t".join(pairs.COLUMNS)
FILES = sorted(pairs.FOLDER.glob("*.tsv"))


def line(item="1", kind="role", wording="a1", text="I called him"):
    return "\t".join([item, kind, wording, *(f"{text} {lang}" for lang in LANGS)])


def test_the_files_are_as_they_should_be():
    assert len(FILES) == 4
    assert problems(FILES) == []


def test_every_kind_has_its_share_of_the_items():
    counts = Counter(item["a1"].kind for item in items())
    assert set(counts) == set(pairs.KINDS)
    assert min(counts.values()) >= 50


def test_four_of_seven_pairs_mean_the_same_in_every_split():
    for split, number in ITEMS.items():
        found = pairs.pairs(split)
        assert len(found) == SIZES[split] == 7 * number
        assert sum(pair.same for pair in found) == 4 * number


def test_an_item_stands_in_one_split_only():
    by_split = [{s.item for pair in pairs.pairs(split) for s in (pair.first, pair.second)} for split in ITEMS]
    assert sum(map(len, by_split)) == len(set.union(*by_split)) == len(items()) == 600


def test_pairs_that_mean_the_same_are_two_wordings_of_one_meaning():
    found = [pair for pair in pairs.pairs("train") if pair.same]
    assert found
    for pair in found:
        assert pair.first.item == pair.second.item
        assert pair.first.wording[0] == pair.second.wording[0]
        assert pair.first.wording != pair.second.wording


def test_a_third_of_the_others_are_the_two_meanings_of_an_item():
    found = [pair for pair in pairs.pairs("train") if not pair.same]
    twisted = [pair for pair in found if pair.first.item == pair.second.item]
    assert len(twisted) * 3 == len(found) > 0
    assert all({pair.first.wording[0], pair.second.wording[0]} == {"a", "b"} for pair in twisted)


def test_the_place_of_a_sentence_gives_nothing_away():
    """The first wording stands first as often among the different pairs as among the same ones."""
    found = pairs.pairs("train")
    for same in (True, False):
        first = [pair.first.wording[1] == "1" for pair in found if pair.same == same]
        assert 0.42 < sum(first) / len(first) < 0.58


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([line(text="I called\thim")], "1.tsv:2: 11 fields, expected 7: is there a tab in the text?"),
        ([line(kind="tense")], "1.tsv:2: unknown kind 'tense'; known: negation, role"),
        ([line(wording="c1")], "1.tsv:2: unknown wording 'c1'; known: a1, a2, b1, b2"),
        ([line(), line(wording="a2", text="I CALLED him!")], "1.tsv:3: the en text stands in 1.tsv:2 too"),
        ([line(text=" ")], "1.tsv:2: en is empty, or begins or ends with a blank"),
        ([line()], "1.tsv:2: item 1 needs the wordings a1, a2, b1, b2 of one kind"),
        (
            [line(wording=w, kind="role" if w == "a1" else "order", text=w) for w in WORDINGS],
            "1.tsv:2: item 1 needs the wordings a1, a2, b1, b2 of one kind",
        ),
        ([], "0 items, expected 600"),
    ],
)
def test_the_check_names_file_and_line(tmp_path, lines, said):
    path = tmp_path / "1.tsv"
    path.write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    assert [found for found in problems([path]) if found.startswith(said)]
