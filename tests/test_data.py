"""The data sets as they ship."""

import filecmp
import re
from collections import Counter

import pytest
from datasets import load_dataset

from ftcourse.kit import Kit
from kit.data import ASSETS, FEATURES, FROM_BANK, LANGS, SIZES, bank, build, plans
from kit.generate import clauses_of, held_out

SCRIPT = {"en": r"[A-Za-z]", "ar": r"[\u0621-\u064a]", "zh": r"[\u4e00-\u9fff]", "zh-Hant": r"[\u4e00-\u9fff]"}


@pytest.fixture(scope="module")
def loaded():
    return {(name, lang): load_dataset(*Kit(lang).dataset(name)) for name in FEATURES for lang in LANGS}


def texts(part) -> list:
    columns = [c for c in ("text", "sentence1", "sentence2") if c in part.column_names]
    return [tuple(row[c] for c in columns) for row in part]


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_labels(loaded, name):
    for lang in LANGS:
        dataset = loaded[name, lang]
        assert {split: len(part) for split, part in dataset.items()} == SIZES[name]
        for part in dataset.values():
            counts = Counter(part["label"])
            shares = [counts[label] / len(part) for label in range(part.features["label"].num_classes)]
            wanted = [3 / 7, 4 / 7] if name == "pairs" else [1 / len(shares)] * len(shares)
            assert shares == pytest.approx(wanted, abs=0.005)


@pytest.mark.parametrize("name", FROM_BANK)
def test_a_row_number_means_the_same_in_every_language(loaded, name):
    for split in FROM_BANK[name]:
        english = loaded[name, "en"][split]["label"][:]
        assert len(english) > 0
        assert all(loaded[name, lang][split]["label"][:] == english for lang in LANGS)
    plan = plans(name)["test"][7]
    row = {lang: texts(loaded[name, lang]["test"])[7] for lang in LANGS}
    for lang, found in row.items():
        assert all(clause.text(lang).lower() in " ".join(found).lower() for clause in clauses_of([plan]))


@pytest.mark.parametrize("name", FEATURES)
def test_the_script_is_that_of_the_language(loaded, name):
    for lang in LANGS:
        assert all(re.search(SCRIPT[lang], column) for row in texts(loaded[name, lang]["test"]) for column in row)


@pytest.mark.parametrize("name", SIZES)
def test_no_text_occurs_in_two_splits_or_twice(loaded, name):
    for lang in LANGS:
        everything = [text for part in loaded[name, lang].values() for text in texts(part)]
        assert len(everything) == sum(SIZES[name].values())
        assert len(set(everything)) == len(everything)


@pytest.mark.parametrize("name", FROM_BANK)
def test_held_out_wordings_occur_in_no_training_split(loaded, name):
    hidden = [c for c in bank() if c.id in held_out(bank())]
    assert len(hidden) > 100
    for lang in LANGS:
        everything = "\n".join(" ".join(row) for row in texts(loaded[name, lang]["train"])).lower()
        assert not [c for c in hidden if c.text(lang).lower() in everything]
    test = {c.id for c in clauses_of(plans(name)["test"])}
    assert len(test & {c.id for c in hidden}) > 50


def test_building_again_gives_the_same_bytes(tmp_path):
    build(tmp_path)
    files = [p for name in FEATURES for p in (ASSETS / "data" / name).rglob("*") if p.is_file()]
    shipped = sorted(p.relative_to(ASSETS / "data") for p in files)
    assert len(shipped) > 30
    assert shipped == sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    same, different, errors = filecmp.cmpfiles(ASSETS / "data", tmp_path, map(str, shipped), shallow=False)
    assert (different, errors) == ([], []) and len(same) == len(shipped)
