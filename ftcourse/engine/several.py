"""Rows with several labels: in one cell or in columns of their own, numbered, sorted and split."""

import json
from collections.abc import Sequence

import numpy as np
from datasets import Dataset

from ftcourse.engine.labels import (
    LIST,
    NOTHING,
    SEPARATORS,
    cell_parts,
    cell_separator,
    is_gap,
    join_labels,
    label_key,
    note,
    shown,
)
from ftcourse.engine.messages import trouble

YES = ("1", "true", "yes", "y", "x", "\u2713", "\u2714", "\u221a", "\u662f", "\u6709", "\u0646\u0639\u0645")
NO = ("0", "-", "false", "no", "n", "\u2717", "\u2718", "\u5426", "\u65e0", "\u7121", "\u6ca1\u6709", "\u0644\u0627")


def yes_or_no(values: Sequence[str | None], source: dict, column: str) -> dict[str | None, bool | None]:
    """What each distinct value of a column means: yes, no, or None for a gap. A `ValueError` names one that is neither.

    Where no value says no, a gap does.

    >>> yes_or_no(["x", None], {"name": "table"}, "food"), yes_or_no(["1", "0", None], {"name": "table"}, "food")
    ({'x': True, None: False}, {'1': True, '0': False, None: None})
    """
    keys = {value: label_key(value or "").casefold() for value in values}
    nothing = None if any(key in NO for key in keys.values()) else False
    found = {}
    for value, key in keys.items():
        if not (key in YES or key in NO or key in NOTHING or is_gap(key, ())):
            raise trouble("yes_or_no", name=source["name"], column=column, given=shown(value))
        found[value] = True if key in YES else False if key in NO else nothing
    return found


def gathered_labels(rows: Dataset, source: dict, places: Sequence[str], labels: Sequence[str]) -> Dataset:
    """The rows with one column of labels, lists in JSON, in place of those with yes and no for each label.

    >>> rows = Dataset.from_dict({"text": ["a"], "1": ["x"], "2": [None]})
    >>> gathered_labels(rows, {"name": "table"}, ["1", "2"], ["food", "price"])["label"][:]
    ['["food"]']
    """
    meaning = [yes_or_no(rows.unique(place), source, label) for place, label in zip(places, labels, strict=True)]
    cells = []
    for batch in rows.select_columns([*places]).iter(1000):
        for values in zip(*(batch[place] for place in places), strict=True):
            answers = [known[value] for known, value in zip(meaning, values, strict=True)]
            given = [label for label, answer in zip(labels, answers, strict=True) if answer]
            cells.append(None if None in answers else json.dumps(given, ensure_ascii=False))
    return rows.remove_columns([*places]).add_column("label", cells)


def find_cell_separator(names: Sequence[str]) -> str:
    """What stands between the labels of a cell where somebody said that there are several; ";" where nothing does.

    >>> find_cell_separator(["a|b", "c|d"]), find_cell_separator(["a", "b"])
    ('|', ';')
    """
    often = {mark: sum(mark in name for name in names) for mark in SEPARATORS}
    return cell_separator(names) or max(often, key=lambda mark: often[mark])


def label_sets(
    names: Sequence[str], counts: Sequence[int], separator: str
) -> tuple[np.ndarray, np.ndarray, list[str], list[dict]]:
    """For each cell the number of its set of labels (-1: a gap); which labels are in which set, shape (sets, labels);
    the labels; and what is to be said about them.

    >>> numbers, marks, labels, notes = label_sets(["a;b", "b; a", "b", "nan"], [1, 1, 1, 1], ";")
    >>> numbers.tolist(), marks.tolist(), labels
    ([0, 0, 1, -1], [[True, True], [False, True]], ['a', 'b'])
    """
    cells, spelt = [], {}
    for name, count in zip(names, counts, strict=True):
        parts = cell_parts(name, separator)
        parts = [name] if parts is None or (not parts and separator != LIST) else parts
        cells.append(parts)
        for part in parts:
            spelt[part] = spelt.get(part, 0) + int(count)
    places, labels, notes = join_labels([*spelt], [*spelt.values()])
    place = dict(zip(spelt, places.tolist(), strict=True))
    sets, numbers = {}, []
    for parts in cells:
        members = frozenset(place[part] for part in parts) - {-1}
        numbers.append(sets.setdefault(members, len(sets)) if members or not parts else -1)
    marks = np.zeros((len(sets), len(labels)), dtype=bool)
    for members, number in sets.items():
        marks[number, [*members]] = True
    example = next((name for name, parts in zip(names, cells, strict=True) if len(parts) > 1), None)
    said = [] if example is None else [note("several", given=shown(example), labels=len(labels))]
    return np.array(numbers, dtype=np.int64), marks, labels, [*said, *(n for n in notes if n["key"] != "joint")]


def split_several(marks: np.ndarray, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train and to validate with, where each label has its share of both; `marks` are (rows, labels).

    The rarest labels are shared out first.

    >>> train, valid = split_several(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]), 0.5, 0)
    >>> sorted([*train.tolist(), *valid.tolist()]), len(valid)
    ([0, 1, 2, 3], 2)
    """
    marks, part = np.asarray(marks, dtype=bool), np.full(len(marks), -1)
    totals, order = marks.sum(axis=0), np.random.default_rng(seed).permutation(len(marks))
    for label in [*np.argsort(totals, kind="stable"), None]:
        mine = np.ones(len(marks), dtype=bool) if label is None else marks[:, label]
        wanted = max(round(mine.sum() * validation), 1) - (part[mine] == 1).sum()
        free = order[mine[order] & (part[order] < 0)]
        last = not (part[mine] == 0).any()  # one row of each label is for training
        wanted = min(max(wanted, 0), max(len(free) - last, 0))
        part[free[:wanted]], part[free[wanted:]] = 1, 0
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1)
