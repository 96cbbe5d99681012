"""Tables of any number of rows, made quickly and the same each time: short reviews, three labels, doubles and gaps."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from datasets import Dataset

from ftcourse.engine.tables import open_table, plain_rows

SYLLABLES = [first + last for first in "bdfgklmnprst" for last in ("a", "e", "i", "o", "un", "ar")]
WORDS = np.array([a + b for a in SYLLABLES for b in SYLLABLES])  # 5,184 words, the first ones more frequent
TONES = {"good": ("lovely", "tasty", "warm"), "bad": ("awful", "stale", "cold"), "so": ("plain", "usual", "fair")}
LABELS = [*TONES]
STEP = 10_000  # rows that are made at a time


def some_rows(number: int, rows: int) -> Iterator[tuple[str, str]]:
    """Text and label of the rows of one step: of a hundred, two are doubles, two near-doubles, one has a gap."""
    random = np.random.default_rng(number)
    sizes = random.integers(2, 8, rows)
    words = WORDS[(len(WORDS) * random.random(sizes.sum()) ** 2).astype(int)].tolist()
    labels, tones, kinds = random.integers(0, 3, rows), random.integers(0, 3, rows), random.integers(0, 100, rows)
    start, last = 0, ("lovely soup", "good")
    for size, label, tone, kind in zip(*(part.tolist() for part in (sizes, labels, tones, kinds)), strict=True):
        if kind < 2:
            yield last
        elif kind < 4:
            yield f"{last[0].upper()} !", last[1]
        else:
            name = LABELS[label]
            last = f"{TONES[name][tone]} {' '.join(words[start : start + size])}", name
            yield ("" if kind == 4 else last[0]), last[1]
        start += size


def rows_of(count: int) -> Iterator[tuple[str, str]]:
    """So many texts with their labels.

    >>> len({*rows_of(100)}) < 100
    True
    """
    for number, start in enumerate(range(0, count, STEP)):
        yield from some_rows(number, min(STEP, count - start))


def write_csv(path: Path, count: int) -> Path:
    """A CSV with the columns `review` and `stars`."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write("review,stars\n")
        file.writelines(f'"{text}",{label}\n' for text, label in rows_of(count))
    return path


def write_jsonl(path: Path, count: int) -> Path:
    """The same rows, each a record on a line of its own."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.writelines(json.dumps({"review": text, "stars": label}) + "\n" for text, label in rows_of(count))
    return path


def memory() -> dict[str, int]:
    """This process's memory in megabytes: the most there was, with pages of files, and what is its own now."""
    found = dict(re.findall(r"^(VmHWM|RssAnon|RssFile):\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.M))
    return {name: int(size) // 1024 for name, size in found.items()}


def plain_texts(table: object, columns: list[str], lang: str, work: str) -> Dataset:
    """The texts of a table, as `ftcourse predict` reads them."""
    return plain_rows(*open_table(table, columns, lang, work), ("text", "text_pair")[: len(columns)])
