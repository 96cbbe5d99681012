"""Conditions of the exercises of chapter 00."""

from pathlib import Path


def two_labels(texts, judge) -> bool:
    return len({answer["label"] for answer in judge(list(texts))}) == 2


CONDITIONS = {
    1: {"number": lambda n: n == 2},
    2: {
        "strings": lambda texts: len(texts) == 2 and all(isinstance(text, str) for text in texts),
        "different": two_labels,
    },
    3: {
        "path": lambda folder: Path(folder).is_dir(),
        "model": lambda folder, kit: Path(folder) == Path(kit.model("writer")),
    },
}
