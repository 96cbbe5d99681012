"""The reviews and the replies of the house, as they were written and as they ship."""

import filecmp

import pytest
from datasets import load_dataset

from ftcourse.kit import LANGS, Kit
from kit.data import ASSETS
from kit.replies import COLUMNS, FILE, HEAD, SIZES, TAIL, build, pairs, problems

GOOD = f"{HEAD}thank you for the soup. It is hot. Next time, have two.{TAIL}"


def test_the_file_is_as_it_should_be():
    assert problems() == []


@pytest.mark.parametrize("lang", LANGS)
def test_every_language_gets_the_pairs(lang):
    loaded = load_dataset(*Kit(lang).dataset("replies"))
    assert {split: part.num_rows for split, part in loaded.items()} == SIZES == {"train": 64, "test": 16}
    assert all(loaded[split].to_list() == pairs(split) for split in SIZES)


def test_stars_and_countries_of_all_kinds_stand_in_both_splits():
    lines = [line.split("\t") for line in FILE.read_text(encoding="utf-8").splitlines()[1:]]
    for split, size in SIZES.items():
        part = [line for line in lines if line[0] == split]
        assert min(sum(line[1] == star for line in part) for star in "12345") >= size // 6
        assert len({line[2] for line in part}) == 8


def test_a_reply_fits_into_few_tokens():
    lengths = [len(pair["reply"].split()) for split in SIZES for pair in pairs(split)]
    assert min(lengths) > 30 and max(lengths) < 70


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["train\t5\tIrish\tLovely.\tThank you."], "some.tsv:2: the reply is not in the style of the house"),
        ([f"train\t5\tIrish\tLovely.\t{GOOD.replace('Next time, h', 'H')}"], "some.tsv:2: the reply is not in the"),
        (["train\t5\tIrish\tLovely.\t"], "some.tsv:2: reply is empty"),
        ([f"dev\t5\tIrish\tLovely.\t{GOOD}"], "some.tsv:2: unknown split 'dev'; known: train, test"),
        ([f"train\t6\tIrish\tLovely.\t{GOOD}"], "some.tsv:2: unknown stars '6'"),
        ([f"train\t5\tMSA\tLovely.\t{GOOD}"], "some.tsv:2: unknown dialect 'MSA'"),
        (
            [f"train\t5\tIrish\t{text}\t{GOOD}" for text in ("Lovely.", "Grand.")],
            "some.tsv: a reply stands there twice",
        ),
        (
            [f"train\t5\tIrish\tThe soup was hot and the bread was {end}\t{GOOD}" for end in ("warm.", "cold.")],
            "some.tsv:3: nearly the same text as some.tsv:2",
        ),
        ([], "some.tsv: 0 pairs in train, expected 64"),
    ],
)
def test_the_check_names_file_and_line(tmp_path, lines, said):
    path = tmp_path / "some.tsv"
    path.write_text("\n".join(["\t".join(COLUMNS), *lines]) + "\n", encoding="utf-8")
    assert [line for line in problems(path) if line.startswith(said)]


def test_building_again_gives_the_same_bytes(tmp_path):
    build(tmp_path)
    names = ["README.md", *(f"all/{split}.parquet" for split in SIZES)]
    assert filecmp.cmpfiles(ASSETS / "data/replies", tmp_path / "replies", names, shallow=False) == (names, [], [])
