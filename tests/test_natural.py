"""The reviews that were written one by one, and what their check finds."""

from collections import Counter

import pytest

from kit import natural
from kit.natural import DIALECTS, DOMAINS, LANGS, SIZES, problems
from kit.near import key
from kit.texts import traditional

HEAD = "\t".join(natural.COLUMNS)


@pytest.mark.parametrize("lang", LANGS)
def test_the_files_are_as_they_should_be(lang):
    assert problems(natural.FOLDER / f"{lang}.tsv") == []


@pytest.mark.parametrize("lang", LANGS)
def test_every_split_has_every_star_domain_and_dialect(lang):
    reviews = [review for split in SIZES for review in natural.natural(lang, split)]
    assert len(reviews) == 600
    for split, size in SIZES.items():
        part = [review for review in reviews if review.split == split]
        assert Counter(review.stars for review in part) == dict.fromkeys("12345", size // 5)
        assert {review.domain for review in part} == set(DOMAINS)
        assert {review.dialect for review in part} == set(DIALECTS[lang])
    assert Counter(review.domain for review in reviews).most_common(1)[0][0] == "restaurant"


def test_traditional_chinese_is_not_converted():
    simplified = {review.text for split in SIZES for review in natural.natural("zh", split)}
    converted = {key(traditional(text)) for text in simplified}
    taiwan = [review.text for split in SIZES for review in natural.natural("zh-Hant", split)]
    assert len(taiwan) == 600
    assert not [text for text in taiwan if key(text) in converted]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["train\t5\tfilm\tMSA\tفيلم\tجميل"], "ar.tsv:2: 6 fields, expected 5: is there a tab in the text?"),
        (["train\t5\tfilm\tMaltese\tفيلم جميل"], "ar.tsv:2: unknown dialect 'Maltese'; known: Egyptian, Gulf"),
        (["train\t6\tfilm\tMSA\tفيلم جميل"], "ar.tsv:2: unknown stars '6'; known: 1, 2, 3, 4, 5"),
        (["dev\t5\tfilm\tMSA\tفيلم جميل"], "ar.tsv:2: unknown split 'dev'; known: train, validation, test"),
        (["train\t5\thotel\tMSA\tفندق جميل"], "ar.tsv:2: unknown domain 'hotel'; known: restaurant, film, product"),
        (["train\t5\tfilm\tMSA\t "], "ar.tsv:2: text is empty, or begins or ends with a blank"),
        (
            ["train\t5\tfilm\tMSA\tفيلم جميل", "test\t5\tfilm\tMSA\tفيلم جميل!"],
            "ar.tsv:3: the text stands in ar.tsv:2 too (train)",
        ),
        (
            [f"train\t5\tfilm\tMSA\tفيلم جميل جدا أحببته كثيرا {who}" for who in ("أنا", "وأمي")],
            "ar.tsv:3: nearly the same text as ar.tsv:2",
        ),
        ([], "ar.tsv: 0 reviews with 1 stars in train, expected 60"),
    ],
)
def test_the_check_names_file_and_line(tmp_path, lines, said):
    path = tmp_path / "ar.tsv"
    path.write_text("\n".join([HEAD, *lines]) + "\n", encoding="utf-8")
    assert [line for line in problems(path) if line.startswith(said)]


def test_another_header_is_named(tmp_path):
    path = tmp_path / "ar.tsv"
    path.write_text("stars\ttext\n1\tسيئ\n", encoding="utf-8")
    assert problems(path) == [f"ar.tsv:1: the header is ['stars', 'text'], expected {natural.COLUMNS}"]
