"""Rows of a table made ready for training: keys, doubles, the order of labels, and the split."""

import hashlib
import reprlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset

from ftcourse.engine.labels import cell_parts, cell_separator, join_labels, label_order, with_label_texts
from ftcourse.engine.messages import language, message, trouble
from ftcourse.engine.tables import open_table, plain_rows


def text_key(texts: Sequence[str | None]) -> int:
    """A number for a text or a pair of them, the same for the same words; 0 where one is missing or blank.

    >>> text_key(["Good  food."]) == text_key(["Good food. "]), text_key([" "])
    (True, 0)
    """
    words = [" ".join((text or "").split()) for text in texts]
    if not all(words):
        return 0
    return int.from_bytes(hashlib.blake2b("\0".join(words).encode(), digest_size=8).digest(), "little") or 1


def row_keys(rows: Dataset) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """For each row the key of its text, and the number of its label (-1: none); and the labels by number, as written.

    >>> keys, numbers, names = row_keys(Dataset.from_dict({"text": ["a", None], "label": ["x", "y"]}))
    >>> keys[1].item(), numbers.tolist(), names
    (0, [0, 1], ['x', 'y'])
    """
    keys, numbers, names = array("Q"), array("q"), {}
    columns = [name for name in rows.column_names if name != "label"]
    for batch in rows.iter(1000):
        keys.extend(map(text_key, zip(*(batch[name] for name in columns), strict=True)))
        numbers.extend(
            names.setdefault(label, len(names)) if label and label.strip() else -1 for label in batch["label"]
        )
    return np.array(keys, dtype=np.uint64), np.array(numbers, dtype=np.int64), [*names]


MIN_ROWS = 2


def sort_rows(keys: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
    """Positions of the rows to use, under "kept", and of the others by the reason why they are left out.

    >>> {why: rows.tolist() for why, rows in sort_rows(np.array([7, 7, 8, 9, 0]), np.array([0, 0, 0, 1, 1])).items()}
    {'no_text': [4], 'no_label': [], 'duplicate': [1], 'contradiction': [], 'rare': [3], 'kept': [0, 2]}
    """
    left, found = pd.DataFrame({"key": keys, "number": numbers}), {}
    tests = {
        "no_text": lambda rows: rows["key"] == 0,
        "no_label": lambda rows: rows["number"] < 0,
        "duplicate": lambda rows: rows.duplicated(),
        "contradiction": lambda rows: rows.duplicated("key", keep=False),
        "rare": lambda rows: rows.groupby("number")["number"].transform("size") < MIN_ROWS,
    }
    for why, test in tests.items():
        out = test(left).to_numpy(dtype=bool)
        found[why], left = left.index[out].to_numpy(), left[~out]
    return found | {"kept": left.index.to_numpy()}


def check_letters(rows: Dataset, source: dict) -> None:
    """Make sure that there are letters in one of the first 100 texts; else they are numbers, or dates.

    >>> check_letters(Dataset.from_dict({"text": ["1", "2"]}), {"name": "table", "columns": ["price", "stars"]})
    Traceback (most recent call last):
    ValueError: the column 'price' of 'table' has no letters, only values such as '1'; ...
    """
    texts = [text for text in rows["text"][:100] if text]
    if texts and not any(character.isalpha() or ord(character) > 0x2000 for text in texts for character in text):
        given = reprlib.repr(texts[0])
        raise trouble("no_letters", name=source["name"], column=source["columns"][0], given=given)


ROWS_A_LABEL = 3


def check_kept(groups: dict[str, np.ndarray], names: list[str], source: dict) -> None:
    """Make sure that the rows kept can train a classifier for labels; a `ValueError` says what is the matter.

    >>> groups = {"rare": np.array([0, 1]), "kept": np.array([])}
    >>> check_kept(groups, [], {"name": "table", "columns": ["text", "label"]})
    Traceback (most recent call last):
    ValueError: most labels in the column 'label' of 'table' occur only once or twice (2 rows of 2); ...
    """
    name, text, label = source["name"], source["columns"][0], source["columns"][-1]
    rare, kept = len(groups["rare"]), len(groups["kept"])
    if rare > kept:
        raise trouble("many_labels", name=name, label=label, rare=rare, rows=rare + kept)
    if not kept:
        found = {why: len(rows) for why, rows in groups.items() if len(rows)}
        reasons = {why: message(language(), "finetune", f"drop.{why}", least=MIN_ROWS) for why in found}
        dropped = ", ".join(f"{reasons[why]}: {count}" for why, count in found.items())
        raise trouble("nothing_left", name=name, text=text, label=label, dropped=dropped)
    if len(names) < 2:
        raise trouble("one_label", name=name, label=label, given=names[0])
    if kept < len(names) * ROWS_A_LABEL:
        raise trouble("few_a_label", name=name, label=label, rows=kept, labels=len(names), least=ROWS_A_LABEL)


def check_cells(names: Sequence[str], source: dict) -> None:
    """Make sure that no cells of labels hold several of them.

    >>> check_cells(["food", "food;service", "service"], {"name": "table", "columns": ["text", "label"]})
    Traceback (most recent call last):
    ValueError: cells of the column 'label' of 'table' hold several labels, such as 'food;service'; ...
    """
    if separator := cell_separator(names):
        given = next((name for name in names if len(cell_parts(name, separator) or ()) > 1), names[0])
        raise trouble("several_labels", name=source["name"], label=source["columns"][-1], given=reprlib.repr(given))


SPELT = "spelt"  # labels as the table has them, until those are joined that are the same


@dataclass(frozen=True)
class Prepared:
    """Rows to train and to validate with, in the columns `text`, maybe `text_pair`, and `label`, and their story.

    >>> rows = Dataset.from_dict({"text": ["a"], "text_pair": ["b"], "label": [0]})
    >>> Prepared(rows, rows, names=["x"], source={}, read=1, dropped={}).columns
    ['text', 'text_pair']
    """

    train: Dataset
    valid: Dataset
    names: list[str]
    source: dict
    read: int
    dropped: dict[str, dict]
    notes: list[dict] = field(default_factory=list)

    @property
    def columns(self) -> list[str]:
        """The names of the text columns, one or two."""
        return [name for name in self.train.column_names if name != "label"]


def describe_dropped(rows: Dataset, groups: dict[str, np.ndarray]) -> dict[str, dict]:
    """For each reason that occurs: how many rows, and the first of them with its number, counted from 1.

    >>> rows = Dataset.from_dict({"text": ["a", None], "label": ["x", "y"]})
    >>> describe_dropped(rows, {"no_text": np.array([1]), "kept": np.array([0])})
    {'no_text': {'count': 1, 'least': 2, 'example': '2: None | y'}}
    """
    return {
        why: {
            "count": len(group),
            "least": MIN_ROWS,
            "example": f"{group[0] + 1}: {' | '.join(str(value)[:80] for value in rows[int(group[0])].values())}",
        }
        for why, group in groups.items()
        if why != "kept" and len(group)
    }


def split_rows(rows: Dataset, validation: float, seed: int) -> tuple[Dataset, Dataset]:
    """Rows to train with, and a share `validation` of all to validate with, where each label has the same share.

    Raises `ValueError` for a share that leaves one of the two without rows.

    >>> labels = ClassLabel(names=["x", "y"])
    >>> rows = Dataset.from_dict({"text": list("abcd"), "label": [0, 0, 1, 1]}).cast_column("label", labels)
    >>> [part.num_rows for part in split_rows(rows, 0.5, 0)]
    [2, 2]
    """
    if not isinstance(validation, float) or not 0 < validation < 1:
        raise trouble("validation", given=validation)
    labels = rows.features["label"].num_classes
    size = max(round(len(rows) * validation), labels)
    if len(rows) - size < labels:
        raise trouble("few_rows", rows=len(rows), labels=labels, given=validation)
    parts = rows.train_test_split(test_size=size, stratify_by_column="label", seed=seed)
    return parts["train"], parts["test"]


def prepare(table: object, columns: Sequence[str], lang: str, validation: float, seed: int, cache_dir: str) -> Prepared:
    """A table, read, cleaned, numbered and split; `columns` are those of the texts, one or two, and of the label.

    >>> frame = pd.DataFrame({"text": [*"abcdefgh"], "label": [0, 1] * 4})
    >>> prepare(frame, ["text", "label"], "en", 0.25, 0, "").names
    ['0', '1']
    """
    table, source = open_table(table, columns, lang, cache_dir)
    table = with_label_texts(table, source, columns[-1:])
    rows = plain_rows(table, source, [*("text", "text_pair")[: len(columns) - 1], SPELT]).rename_column(SPELT, "label")
    check_letters(rows, source)
    keys, numbers, names = row_keys(rows)
    check_cells(names, source)
    counts = np.bincount(numbers[numbers >= 0], minlength=len(names))
    places, names, notes = join_labels(names, counts)
    numbers = np.append(places, -1)[numbers]
    groups = sort_rows(keys, numbers)
    kept = groups["kept"]
    ordered = label_order([names[number] for number in np.unique(numbers[kept])])
    check_kept(groups, ordered, source)
    places = {name: number for number, name in enumerate(ordered)}
    renumbered = np.array([places.get(name, -1) for name in names])
    used = rows.select(kept).remove_columns("label")
    used = used.add_column("label", renumbered[numbers[kept]], feature=ClassLabel(names=ordered))
    train_rows, valid_rows = split_rows(used, validation, seed)
    return Prepared(train_rows, valid_rows, ordered, source, len(rows), describe_dropped(rows, groups), notes)


def joined_texts(rows: Dataset) -> list[str]:
    """The texts of the rows; a pair becomes one text.

    >>> joined_texts(Dataset.from_dict({"text": ["a"], "text_pair": ["b"], "label": [0]}))
    ['a b']
    """
    columns = [rows[name][:] for name in rows.column_names if name != "label"]
    return [" ".join(parts) for parts in zip(*columns, strict=True)]
