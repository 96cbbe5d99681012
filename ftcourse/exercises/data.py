"""Conditions of the exercises of chapter 03."""

from collections import Counter

import numpy as np
from datasets import ClassLabel, Dataset

BATCH_SIZE, GOAL = 16, 0.15


def batches_of(function, lengths, seed: int = 0) -> list[list[int]]:
    return [[int(row) for row in batch] for batch in function(lengths, seed)]


def each_row_once(function, lengths) -> bool:
    return sorted(row for batch in batches_of(function, lengths) for row in batch) == list(range(len(lengths)))


def other_neighbours(function, lengths) -> bool:
    """Whether most batches of one seed are no batches of another."""
    one, other = ({frozenset(batch) for batch in batches_of(function, lengths, seed)} for seed in (0, 1))
    return len(one & other) < len(one) / 2


def mixed_order(function, lengths) -> bool:
    """Whether the lengths of the batches do not rise or fall from the first to the last, for most of some seeds."""
    seeds = [[np.mean(lengths[batch]) for batch in batches_of(function, lengths, seed)] for seed in range(5)]
    return sum(abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.7 for means in seeds) >= 3


def share_of_padding(function, lengths, seed: int = 0) -> float:
    return 1 - sum(lengths) / sum(len(batch) * max(lengths[batch]) for batch in batches_of(function, lengths, seed))


def wrong_labels(table, train) -> bool:
    right = sum(one == other for one, other in zip(table["label"], train["label"], strict=True))
    return right < len(train) / 2


def text_and_label(table) -> bool:
    """Whether there is a column named label, and another one that holds texts."""
    kinds = {name: getattr(feature, "dtype", "") for name, feature in table.features.items()}
    return "label" in kinds and any("string" in kind for name, kind in kinds.items() if name != "label")


CONDITIONS = {
    1: {
        "function": callable,
        "batches": lambda function, lengths: all(map(len, batches_of(function, lengths))),
        "rows": each_row_once,
        "size": lambda function, lengths: max(map(len, batches_of(function, lengths))) <= BATCH_SIZE,
        "order": mixed_order,
        "neighbours": other_neighbours,
        "share": lambda function, lengths: share_of_padding(function, lengths) < GOAL,
    },
    2: {
        "dataset": lambda table: isinstance(table, Dataset),
        "texts": lambda table, train: table["text"][:] == train["text"][:],
        "features": lambda table, train: table.features == train.features,
        "counts": lambda table, train: Counter(table["label"]) == Counter(train["label"]),
        "wrong": wrong_labels,
    },
    3: {
        "dataset": lambda table: isinstance(table, Dataset),
        "columns": text_and_label,
        "rows": lambda table: len(table) >= 4,
        "numbers": lambda table: isinstance(table.features["label"], ClassLabel),
        "labels": lambda table: len(set(table["label"])) > 1,
    },
}
