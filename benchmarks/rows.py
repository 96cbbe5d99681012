"""Tables of any size for the benchmarks: rows that a generator makes from the kit's reviews, no two the same."""

import csv
import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from datasets import concatenate_datasets, load_dataset
from transformers import AutoTokenizer

from ftcourse.data import tokenize
from ftcourse.kit import Kit

ONE_GO = 500  # rows that are tokenized, and then written over and over


def made_rows(count: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """So many texts of one or two sentences, no two the same, with the stars of a review that they come from.

    >>> rows = list(made_rows(3))
    >>> len({text for text, _ in rows}), {stars[1:] for _, stars in rows}
    (3, {' stars'})
    """
    reviews, rng = load_dataset(*Kit().dataset("reviews"), split="train").select(range(1000)), random.Random(seed)
    told = [
        (text.split(". "), f"{label + 1} stars") for text, label in zip(reviews["text"], reviews["label"], strict=True)
    ]
    for number in range(count):
        sentences, stars = told[rng.randrange(len(told))]
        yield f"Visit {number}. {rng.choice(sentences)}. {rng.choice(sentences)}.", stars


def write_table(file: Path, count: int) -> None:
    """A CSV file of so many rows, with the columns `text` and `label`; it is never whole in memory."""
    with open(file, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("text", "label")])
        csv.writer(stream).writerows(made_rows(count))


def write_tokens(folder: Path, count: int) -> None:
    """Tokenized reviews, over and over, as files that `load_from_disk` maps into memory."""
    kit = Kit()
    some = load_dataset(*kit.dataset("reviews"), split="train").select(range(ONE_GO))
    data = tokenize(some, AutoTokenizer.from_pretrained(kit.model("encoder")))
    concatenate_datasets([data] * -(-count // ONE_GO)).select(range(count)).save_to_disk(folder)


def in_parts(rows: Iterator, size: int) -> Iterator[list]:
    """A stream in lists of so many.

    >>> list(in_parts(iter("abc"), 2))
    [['a', 'b'], ['c']]
    """
    while some := list(islice(rows, size)):
        yield some
