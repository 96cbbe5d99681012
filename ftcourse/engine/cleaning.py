"""Rows of a table made ready for training: keys, doubles, the order of labels, and the split."""

import reprlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, List, Value, concatenate_datasets
from datasets.utils.stratify import stratified_shuffle_split_generate_indices

from ftcourse.engine.columns import label_column
from ftcourse.engine.fair import Sides, check_learned, group_numbers, hash_of, near_keys, with_group_cells
from ftcourse.engine.labels import cell_separator, join_labels, label_order, number_values, with_label_texts
from ftcourse.engine.messages import language, message, trouble
from ftcourse.engine.several import find_cell_separator, gathered_labels, label_sets, split_several
from ftcourse.engine.tables import TableFile, chosen, labelled, open_table, plain_rows

ONE_LABEL, SEVERAL, NUMBER = "single_label_classification", "multi_label_classification", "regression"


def text_key(texts: Sequence[str | None]) -> int:
    """A number for a text or a pair of them, the same for the same words; 0 where one is missing or blank.

    >>> text_key(["Good  food."]) == text_key(["Good food. "]), text_key([" "])
    (True, 0)
    """
    words = [" ".join((text or "").split()) for text in texts]
    if not all(words):
        return 0
    return hash_of(words)


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
    return np.frombuffer(keys, dtype=np.uint64), np.frombuffer(numbers, dtype=np.int64), [*names]


MIN_ROWS = 2
MIX = np.uint64(0x9E3779B97F4A7C15)


def sort_rows(
    keys: np.ndarray, numbers: np.ndarray, marks: np.ndarray | None = None, least: int = MIN_ROWS
) -> dict[str, np.ndarray]:
    """Positions of the rows to use, under "kept", and of the others by the reason why they are left out.

    Where a number stands for a set of labels, or of none, `marks` says which are in which set: (sets, labels).

    >>> {why: rows.tolist() for why, rows in sort_rows(np.array([7, 7, 8, 9, 0]), np.array([0, 0, 0, 1, 1])).items()}
    {'no_text': [4], 'no_label': [], 'duplicate': [1], 'contradiction': [], 'rare': [3], 'kept': [0, 2]}
    """
    left, found = np.arange(len(keys)), {}

    def twice(rows: np.ndarray) -> np.ndarray:
        mixed = keys[rows].astype(np.uint64) ^ (numbers[rows].astype(np.uint64) * MIX)  # one number for both
        return pd.Series(mixed).duplicated().to_numpy()

    def rare(rows: np.ndarray) -> np.ndarray:
        if marks is None:
            counts = np.bincount(numbers[rows])
            return counts[numbers[rows]] < least
        given = marks[numbers[rows]]
        return given[:, given.sum(axis=0) < least].any(axis=1)

    tests = {
        "no_text": lambda rows: keys[rows] == 0,
        "no_label": lambda rows: numbers[rows] < 0,
        "duplicate": twice,
        "contradiction": lambda rows: pd.Series(keys[rows]).duplicated(keep=False).to_numpy(),
        "rare": rare,
    }
    for why, test in tests.items():
        out = test(left)
        found[why], left = left[out], left[~out]
    return found | {"kept": left}


def check_letters(rows: Dataset, source: dict) -> None:
    """Make sure that there are letters in one of 100 texts from all over the table; else they are numbers, or dates.

    >>> check_letters(Dataset.from_dict({"text": ["1", "2"]}), {"name": "table", "columns": ["price", "stars"]})
    Traceback (most recent call last):
    ValueError: the column 'price' of 'table' has no letters, only values such as '1'; ...
    """
    texts = [text for text in rows.select(range(0, len(rows), max(len(rows) // 100, 1)))["text"] if text]
    if texts and not any(character.isalpha() or ord(character) > 0x2000 for text in texts for character in text):
        given = reprlib.repr(texts[0])
        raise trouble("no_letters", name=source["name"], column=source["columns"][0], given=given)


ROWS_A_LABEL = 3


def check_kept(groups: dict[str, np.ndarray], names: list[str], source: dict, notes: Sequence[dict] = ()) -> None:
    """Make sure that the rows kept can train a classifier for labels; a `ValueError` says what is the matter.

    `notes` are those on the labels: where one label is left, they may tell what became of another.

    >>> groups = {"rare": np.array([0, 1]), "kept": np.array([])}
    >>> check_kept(groups, [], {"name": "table", "columns": ["text", "label"]})
    Traceback (most recent call last):
    ValueError: most labels in the column 'label' of 'table' occur only once or twice (2 rows of 2); ...
    """
    name, text, label = source["name"], source["columns"][0], source["columns"][-1]
    rare, kept = len(groups["rare"]), len(groups["kept"])
    alike = sum(len(groups.get(why, ())) for why in ("duplicate", "contradiction"))
    if rare > kept and (kept or rare + kept > alike):
        raise trouble("many_labels", name=name, label=label, rare=rare, rows=rare + kept)
    if not kept:
        found = {why: len(rows) for why, rows in groups.items() if len(rows)}
        reasons = {why: message(language(), "finetune", f"drop.{why}", least=MIN_ROWS) for why in found}
        dropped = ", ".join(f"{reasons[why]}: {count}" for why, count in found.items())
        raise trouble("nothing_left", name=name, text=text, label=label, dropped=dropped)
    if len(names) < 2:
        gaps = [message(language(), "finetune", "note.gaps", **one) for one in notes if one["key"] == "gaps"]
        values = {"name": name, "label": label, "given": names[0] if names else "[]", "gaps": "".join(gaps)}
        raise trouble("one_label_gaps" if gaps else "one_label", **values)
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
    apart: list[dict] = field(default_factory=list)  # what kept both sides apart: key and values of each message

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


def describe_dropped(rows: Dataset, groups: dict[str, np.ndarray], second: dict | None = None) -> dict[str, dict]:
    """For each reason that occurs: how many rows, and the first of them with its number, counted from 1.

    Where the last of the rows come from a `second` table, its name stands before their numbers.

    >>> rows = Dataset.from_dict({"text": ["a", None], "label": ["x", "y"]})
    >>> describe_dropped(rows, {"no_text": np.array([1]), "kept": np.array([0])})
    {'no_text': {'count': 1, 'least': 2, 'example': '2: None | y'}}
    """
    start, found = len(rows) - second["read"] if second else len(rows), {}
    for why, group in groups.items():
        if why != "kept" and len(group):
            row = int(group[0])
            place = f"{row + 1}" if row < start else f"{second['name']}, {row - start + 1}"
            cells = " | ".join(str(value)[:80] for value in rows[row].values())
            found[why] = {"count": len(group), "least": MIN_ROWS, "example": f"{place}: {cells}"}
    return found


def check_share(validation: float, rows: int, labels: int) -> int:
    """How many of the rows are to validate with; a `ValueError` for a share that leaves too few on either side.

    >>> check_share(0.25, 40, 2)
    10
    """
    if not isinstance(validation, float | np.floating) or not 0 < validation < 1:
        raise trouble("validation", given=validation)
    size = max(round(rows * validation), labels)
    if rows - size < labels:
        raise trouble("few_rows", rows=rows, labels=labels, given=validation)
    return size


def split_labels(labels: np.ndarray, num_labels: int, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train with, and a share `validation` of all to validate with, where each label has the same share:
    as `train_test_split` of a data set finds them, which looks at one row after the other.

    Raises `ValueError` for a share that leaves one of the two without rows.

    >>> [part.tolist() for part in split_labels(np.array([0, 0, 1, 1]), 2, 0.5, 0)]
    [[0, 2], [3, 1]]
    """
    size = check_share(validation, len(labels), num_labels)
    random = np.random.default_rng(seed)
    return next(stratified_shuffle_split_generate_indices(labels, len(labels) - size, size, random))


def read_rows(
    table: object, columns: Sequence, lang: str, cache_dir: str, group: str | None = None
) -> tuple[Dataset, dict]:
    """The rows of a table of any kind with texts and labels as they are spelt, and where they came from.

    A column of groups, where one is named, comes along as `group`.

    >>> read_rows(pd.DataFrame({"review": ["a"], "stars": [1.0]}), ["review", "stars"], "en", "")[0][0]
    {'text': 'a', 'label': '1'}
    """
    texts, labels = columns[:-1], [columns[-1]] if isinstance(columns[-1], str) else [*columns[-1]]
    more = [] if group is None or group in texts else [group]
    if {*more} & {*labels}:
        raise trouble("same_column", given=group)
    table, source = open_table(table, [*more, *texts, *labels], lang, cache_dir)
    places = [f"spelt {number}" for number in range(len(labels))]
    new = [*("text", "text_pair")[: len(texts)], *places]
    table = chosen(table, source)
    table = with_group_cells(table, group, cache_dir) if more else table
    table = with_label_texts(table, source, labels, cache_dir)
    rows = plain_rows(table, source, ["group"] * len(more) + new, cache_dir)
    source["columns"] = [*texts, *labels]
    check_letters(rows, source)
    rows = (
        rows.rename_column(places[0], "label")
        if isinstance(columns[-1], str)
        else gathered_labels(rows, source, places, labels)
    )
    if group is None:
        return rows, source
    if not more:
        rows = rows.add_column("group", rows[new[texts.index(group)]][:], feature=Value("string"))
    return rows, source | {"group": group}


def is_table(validation: object) -> bool:
    """Whether rows to validate with come from a table of their own.

    >>> is_table("valid.csv"), is_table(0.1)
    (True, False)
    """
    return isinstance(validation, str | Path | TableFile | pd.DataFrame | Dataset | dict)


def read_sides(
    table: object, columns: Sequence, lang: str, validation: object, cache_dir: str, group: str | None = None
) -> tuple[Dataset, dict, Sides]:
    """The rows of a table, followed by those of the one to validate with, if there is one; where they came from; and
    what decides on their side of the split.

    >>> frame = pd.DataFrame({"text": ["a", "b"], "label": [0, 1]})
    >>> rows, source, sides = read_sides(frame, ["text", "label"], "en", frame, "")
    >>> len(rows), source["valid"]["read"], sides.own.tolist()
    (4, 2, [False, False, True, True])
    """
    (rows, source), own = read_rows(table, columns, lang, cache_dir, group), None
    if is_table(validation):
        theirs, source["valid"] = read_rows(validation, columns, lang, cache_dir, group)
        own = np.arange(len(rows) + len(theirs)) >= len(rows)
        source["valid"]["read"] = len(theirs)
        rows = concatenate_datasets([rows, theirs])
    groups = None if group is None else group_numbers(label_column(rows, "group"))
    rows = rows if group is None else rows.remove_columns("group")
    return rows, source, Sides(near_keys(rows), groups, own)


def check_tables(
    groups: dict[str, np.ndarray], names: list[str], source: dict, sides: Sides, notes: Sequence[dict]
) -> None:
    """Make sure that the rows kept can train, and where they have a table of their own, validate."""
    own, valid = sides.own, source.get("valid")
    if own is None:
        return check_kept(groups, names, source, notes)
    check_kept({why: group[~own[group]] for why, group in groups.items()}, names, source, notes)
    left = {why: group[own[group]] for why, group in groups.items()}
    return None if len(left["kept"]) else check_kept(left, names, valid)


def prepare(
    table: object,
    columns: Sequence,
    lang: str,
    validation: object,
    seed: int,
    cache_dir: str,
    problem: str | None = None,
    group: str | None = None,
) -> Prepared:
    """A table, read, cleaned, numbered and split; `columns` are those of the texts, one or two, and of the label.

    A list in the place of the label names a column for each of several labels. Without a `problem`, the labels tell
    whether a text has one or several. `validation` is a share or another table. Near-doubles stay on one side, and so
    do rows with the same cell in the column `group`.

    >>> frame = pd.DataFrame({"text": [*"abcdefgh"], "label": [0, 1] * 4})
    >>> prepare(frame, ["text", "label"], "en", 0.25, 0, "").names
    ['0', '1']
    """
    rows, source, sides = read_sides(table, columns, lang, validation, cache_dir, group)
    keys, numbers, names = row_keys(rows)
    counts, problem = np.bincount(numbers[numbers >= 0], minlength=len(names)), problem or problem_of(names)
    marks = None
    if problem == NUMBER:
        values, notes = number_values(names, counts, source)
        names, places = np.unique(values, return_inverse=True)  # NaN, if there is one, comes last
        places, marks = np.where(np.isnan(values), -1, places), np.zeros((len(names), 0), dtype=bool)
    elif problem == SEVERAL:
        places, marks, names, notes = label_sets(names, counts, find_cell_separator(names))
    else:
        places, names, notes = join_labels(names, counts)
    numbers = np.append(places, -1)[numbers]
    groups = sides.sorted(sort_rows, keys, numbers, marks)
    kept = groups["kept"]
    labels, ordered, feature = label_values(problem, numbers[kept], marks, names, source)
    check_tables(groups, ordered, source, sides, notes)
    ordered = source["columns"][-1:] if problem == NUMBER else ordered
    if sides.own is None:
        check_share(validation, len(kept), 1 if problem == NUMBER else len(ordered))
    parts = sides.split(kept, labels, validation, seed, source)
    if parts is None and problem == ONE_LABEL:
        parts = split_labels(labels, len(ordered), validation, seed)
    else:
        parts = parts or split_alone(labels, validation, seed)
        if group and problem != NUMBER:
            check_learned(labels, parts[0], ordered, source)
    dropped = describe_dropped(rows, groups | sides.left, source.get("valid"))
    parts = [labelled(rows, kept[part], labels[part], feature, cache_dir) for part in parts]
    read = len(rows) - source.get("valid", {"read": 0})["read"]
    return Prepared(*parts, ordered, source, read, dropped, notes, problem, sides.notes)


def label_values(
    problem: str, numbers: np.ndarray, marks: np.ndarray | None, names: Sequence, source: dict
) -> tuple[np.ndarray, list[str], object]:
    """The labels of rows as a model learns them, the names in their order, and the kind of column that they are.

    `numbers` are those of the labels, of sets of labels, or of values among the `names`.

    >>> label_values(ONE_LABEL, np.array([1, 1, 0]), None, ["10", "9"], {})[:2]
    (array([0, 0, 1]), ['9', '10'])
    """
    if problem == NUMBER:
        values = np.asarray(names)[numbers].astype(np.float32)
        return values, [f"{value:g}" for value in np.unique(values)[:2]], Value("float32")
    given = np.unique(numbers) if marks is None else np.flatnonzero(marks[numbers].any(axis=0))
    ordered = label_order([names[number] for number in given])
    if marks is None:
        places = {name: number for number, name in enumerate(ordered)}
        return np.array([places.get(name, -1) for name in names])[numbers], ordered, ClassLabel(names=ordered)
    chosen = marks[:, [names.index(name) for name in ordered]]
    return chosen[numbers].astype(np.float32), ordered, List(Value("float32"))


def split_alone(labels: np.ndarray, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train and to validate with, where no row belongs to another: of several labels, or of numbers.

    >>> [part.tolist() for part in split_alone(np.array([1.0, 1.5, 2.0, 4.5]), 0.25, 0)]
    [[0, 1, 3], [2]]
    """
    if labels.ndim == 2:
        return split_several(labels, validation, seed)
    order, size = np.random.default_rng(seed).permutation(len(labels)), check_share(validation, len(labels), 1)
    return np.sort(order[size:]), np.sort(order[:size])


def joined_texts(rows: Dataset) -> list[str]:
    """The texts of the rows; a pair becomes one text.

    >>> joined_texts(Dataset.from_dict({"text": ["a"], "text_pair": ["b"], "label": [0]}))
    ['a b']
    """
    columns = [rows[name][:] for name in rows.column_names if name != "label"]
    return [" ".join(parts) for parts in zip(*columns, strict=True)]
