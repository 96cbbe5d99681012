"""Rows of a table made ready for training: keys, doubles, the order of labels, and the split."""

import hashlib
import reprlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, List, Value

from ftcourse.engine.labels import cell_separator, join_labels, label_order, number_values, with_label_texts
from ftcourse.engine.messages import language, message, trouble
from ftcourse.engine.several import find_cell_separator, gathered_labels, label_sets, split_several
from ftcourse.engine.tables import open_table, plain_rows

ONE_LABEL, SEVERAL, NUMBER = "single_label_classification", "multi_label_classification", "regression"


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


def sort_rows(keys: np.ndarray, numbers: np.ndarray, marks: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Positions of the rows to use, under "kept", and of the others by the reason why they are left out.

    Where a number stands for a set of labels, or of none, `marks` says which are in which set: (sets, labels).

    >>> {why: rows.tolist() for why, rows in sort_rows(np.array([7, 7, 8, 9, 0]), np.array([0, 0, 0, 1, 1])).items()}
    {'no_text': [4], 'no_label': [], 'duplicate': [1], 'contradiction': [], 'rare': [3], 'kept': [0, 2]}
    """
    left, found = pd.DataFrame({"key": keys, "number": numbers}), {}

    def rare(rows: pd.DataFrame) -> pd.Series:
        if marks is None:
            return rows.groupby("number")["number"].transform("size") < MIN_ROWS
        given = marks[rows["number"]]
        return pd.Series(given[:, given.sum(axis=0) < MIN_ROWS].any(axis=1), rows.index)

    tests = {
        "no_text": lambda rows: rows["key"] == 0,
        "no_label": lambda rows: rows["number"] < 0,
        "duplicate": lambda rows: rows.duplicated(),
        "contradiction": lambda rows: rows.duplicated("key", keep=False),
        "rare": rare,
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
    problem: str = ONE_LABEL

    @property
    def columns(self) -> list[str]:
        """The names of the text columns, one or two."""
        return [name for name in self.train.column_names if name != "label"]


def problem_of(names: Sequence[str]) -> str:
    """Whether the cells of a column of labels hold one label or several.

    >>> problem_of(["good", "bad"]), problem_of(["food", "food;price", "price"])
    ('single_label_classification', 'multi_label_classification')
    """
    return SEVERAL if cell_separator(names) else ONE_LABEL


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


def check_share(validation: float, rows: int, labels: int) -> int:
    """How many of the rows are to validate with; a `ValueError` for a share that leaves too few on either side.

    >>> check_share(0.25, 40, 2)
    10
    """
    if not isinstance(validation, float) or not 0 < validation < 1:
        raise trouble("validation", given=validation)
    size = max(round(rows * validation), labels)
    if rows - size < labels:
        raise trouble("few_rows", rows=rows, labels=labels, given=validation)
    return size


def split_rows(rows: Dataset, validation: float, seed: int) -> tuple[Dataset, Dataset]:
    """Rows to train with, and a share `validation` of all to validate with, where each label has the same share.

    Raises `ValueError` for a share that leaves one of the two without rows.

    >>> labels = ClassLabel(names=["x", "y"])
    >>> rows = Dataset.from_dict({"text": list("abcd"), "label": [0, 0, 1, 1]}).cast_column("label", labels)
    >>> [part.num_rows for part in split_rows(rows, 0.5, 0)]
    [2, 2]
    """
    labels = rows.features["label"].num_classes
    size = check_share(validation, len(rows), labels)
    parts = rows.train_test_split(test_size=size, stratify_by_column="label", seed=seed)
    return parts["train"], parts["test"]


def read_rows(table: object, columns: Sequence, lang: str, cache_dir: str) -> tuple[Dataset, dict]:
    """The rows of a table of any kind with texts and labels as they are spelt, and where they came from.

    >>> read_rows(pd.DataFrame({"review": ["a"], "stars": [1.0]}), ["review", "stars"], "en", "")[0][0]
    {'text': 'a', 'label': '1'}
    """
    texts, labels = columns[:-1], [columns[-1]] if isinstance(columns[-1], str) else [*columns[-1]]
    table, source = open_table(table, [*texts, *labels], lang, cache_dir)
    places = [f"spelt {number}" for number in range(len(labels))]
    new = [*("text", "text_pair")[: len(texts)], *places]
    rows = plain_rows(with_label_texts(table, source, labels), source, new)
    check_letters(rows, source)
    if isinstance(columns[-1], str):
        return rows.rename_column(places[0], "label"), source
    return gathered_labels(rows, source, places, labels), source


def prepare_numbers(rows: Dataset, source: dict, validation: float, seed: int) -> Prepared:
    """The same for rows whose labels are numbers, to be answered with numbers: nothing is rare then.

    >>> rows = Dataset.from_dict({"text": [*"abcdefgh"], "label": ["1", "1.5"] * 4})
    >>> prepare_numbers(rows, {"name": "table", "columns": ["text", "stars"]}, 0.25, 0).valid.features["label"].dtype
    'float32'
    """
    keys, numbers, names = row_keys(rows)
    counts = np.bincount(numbers[numbers >= 0], minlength=len(names))
    values, notes = number_values(names, counts, source)
    distinct, places = np.unique(values, return_inverse=True)  # NaN, if there is one, comes last
    places = np.where(np.isnan(values), -1, places)
    numbers = np.append(places, -1)[numbers]
    groups = sort_rows(keys, numbers, np.zeros((len(distinct), 0), dtype=bool))
    kept = groups["kept"]
    labels = distinct[numbers[kept]].astype(np.float32)
    check_kept(groups, [f"{value:g}" for value in np.unique(labels)[:2]], source)
    size = check_share(validation, len(kept), 1)
    used = rows.select(kept).remove_columns("label").add_column("label", labels, feature=Value("float32"))
    order = np.random.default_rng(seed).permutation(len(used))
    parts = [used.select(np.sort(part)) for part in (order[size:], order[:size])]
    dropped = describe_dropped(rows, groups)
    return Prepared(*parts, source["columns"][-1:], source, len(rows), dropped, notes, NUMBER)


def prepare(
    table: object,
    columns: Sequence,
    lang: str,
    validation: float,
    seed: int,
    cache_dir: str,
    problem: str | None = None,
) -> Prepared:
    """A table, read, cleaned, numbered and split; `columns` are those of the texts, one or two, and of the label.

    A list in the place of the label names a column for each of several labels. Without a `problem`, the labels tell
    whether a text has one or several.

    >>> frame = pd.DataFrame({"text": [*"abcdefgh"], "label": [0, 1] * 4})
    >>> prepare(frame, ["text", "label"], "en", 0.25, 0, "").names
    ['0', '1']
    """
    rows, source = read_rows(table, columns, lang, cache_dir)
    keys, numbers, names = row_keys(rows)
    counts, problem = np.bincount(numbers[numbers >= 0], minlength=len(names)), problem or problem_of(names)
    if problem == NUMBER:
        return prepare_numbers(rows, source, validation, seed)
    marks = None
    if problem == SEVERAL:
        places, marks, names, notes = label_sets(names, counts, find_cell_separator(names))
    else:
        places, names, notes = join_labels(names, counts)
    numbers = np.append(places, -1)[numbers]
    groups = sort_rows(keys, numbers, marks)
    kept = groups["kept"]
    given = np.unique(numbers[kept]) if marks is None else np.flatnonzero(marks[numbers[kept]].any(axis=0))
    ordered = label_order([names[number] for number in given])
    check_kept(groups, ordered, source)
    places, used = {name: number for number, name in enumerate(ordered)}, rows.select(kept).remove_columns("label")
    if marks is None:
        renumbered = np.array([places.get(name, -1) for name in names])
        used = used.add_column("label", renumbered[numbers[kept]], feature=ClassLabel(names=ordered))
        parts = split_rows(used, validation, seed)
    else:
        labels = marks[:, [names.index(name) for name in ordered]][numbers[kept]].astype(np.float32)
        used = used.add_column("label", [*labels], feature=List(Value("float32")))
        check_share(validation, len(used), len(ordered))
        parts = [used.select(part) for part in split_several(labels, validation, seed)]
    return Prepared(*parts, ordered, source, len(rows), describe_dropped(rows, groups), notes, problem)


def joined_texts(rows: Dataset) -> list[str]:
    """The texts of the rows; a pair becomes one text.

    >>> joined_texts(Dataset.from_dict({"text": ["a"], "text_pair": ["b"], "label": [0]}))
    ['a b']
    """
    columns = [rows[name][:] for name in rows.column_names if name != "label"]
    return [" ".join(parts) for parts in zip(*columns, strict=True)]
