"""Conditions of the exercises of chapter 03."""

import torch
from datasets import ClassLabel, Dataset

BATCH_SIZE = 64


def share_of_padding(batches, token_counts) -> float:
    sizes = [(len(batch) * max(token_counts[row] for row in batch)) for batch in batches]
    return 1 - sum(token_counts) / sum(sizes)


def in_order(token_counts) -> list[range]:
    rows = range(len(token_counts))
    return [rows[start : start + BATCH_SIZE] for start in rows[::BATCH_SIZE]]


def right_share(share, token_counts) -> bool:
    from ftcourse.data import LengthBatches

    return abs(share - share_of_padding(LengthBatches(token_counts, BATCH_SIZE), token_counts)) < 0.01


def text_and_label(table) -> bool:
    """Whether there is a column named label, and another one that holds texts."""
    kinds = {name: getattr(feature, "dtype", "") for name, feature in table.features.items()}
    return "label" in kinds and any("string" in kind for name, kind in kinds.items() if name != "label")


CONDITIONS = {
    1: {
        "tensors": lambda batch: all(torch.is_tensor(values) for values in batch.values()),
        "labels": lambda batch: {"input_ids", "attention_mask", "labels"} <= set(batch),
        "size": lambda batch: len(batch["labels"]) == 16,
        "films": lambda batch: set(batch["labels"].tolist()) == {0, 1},
        "dynamic": lambda batch: bool(batch["attention_mask"].any(dim=0).all()),
    },
    2: {
        "number": lambda share: 0 < float(share) < 1,
        "lower": lambda share, token_counts: share < share_of_padding(in_order(token_counts), token_counts) / 2,
        "share": right_share,
    },
    3: {
        "dataset": lambda table: isinstance(table, Dataset),
        "columns": text_and_label,
        "rows": lambda table: len(table) >= 4,
        "numbers": lambda table: isinstance(table.features["label"], ClassLabel),
        "labels": lambda table: len(set(table["label"])) > 1,
    },
}
