"""Fair tests: what belongs together stays on one side of a split. Near-doubles are found by a key, groups by a column;
a table to validate with may come from elsewhere."""

import hashlib
import reprlib
import unicodedata
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
from datasets import Dataset, Features, Value
from scipy.sparse import csc_matrix

from ftcourse.engine.labels import UNSEEN, is_gap, label_key
from ftcourse.engine.messages import trouble
from ftcourse.engine.tables import mapped

ALSO_DROPPED = "~|\u0640"  # signs that are used like punctuation; tatweel
TRIALS = 10  # splits into whole groups, of which the most even one is taken
AT_ONCE = 10_000  # groups that are looked at in one go
NO_NAMES = ("NA", "None", "NONE", "none")  # of a group: so programs write a gap


class Folding(dict):
    """What becomes of a character, by its number, when near-doubles are compared: itself, or None where it goes."""

    def __missing__(self, code: int) -> int | None:
        letter, kind = chr(code), unicodedata.category(chr(code))
        vowel = kind == "Mn" and "ARABIC" in unicodedata.name(letter, "")
        goes = kind[0] in "PZ" or kind in ("Cc", "Cf", "Sk") or vowel or letter in ALSO_DROPPED
        self[code] = None if goes or UNSEEN.match(letter) else code
        return self[code]


FOLDING = Folding()


def near_text(text: str) -> str:
    """What is the same for texts that differ in case, blanks, punctuation, unseen marks, Arabic vowel marks or widths.

    A text of which nothing would be left is taken as it is.

    >>> near_text("Good  food!") == near_text("\\uff27ood FOOD"), near_text(" ?! ")
    (True, '?!')
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return plain.casefold().translate(FOLDING) or " ".join(text.split())


def hash_of(words: Sequence[str]) -> int:
    """A number of 64 bits for some texts; never 0.

    >>> hash_of(["a", "b"]) == hash_of(["a", "b"]) != hash_of(["ab"])
    True
    """
    return int.from_bytes(hashlib.blake2b("\0".join(words).encode(), digest_size=8).digest(), "little") or 1


def near_keys(rows: Dataset) -> np.ndarray:
    """For each row a number, the same for near-doubles; 0 where a text is missing or blank.

    >>> keys = near_keys(Dataset.from_dict({"text": ["Good.", "good", "bad", None], "label": [1, 1, 0, 0]}))
    >>> len({*keys.tolist()}), keys[3].item()
    (3, 0)
    """
    columns, keys = [name for name in rows.column_names if name not in ("label", "group")], array("Q")
    for batch in rows.select_columns(columns).iter(1000):
        for texts in zip(*(batch[name] for name in columns), strict=True):
            words = [near_text(text or "") for text in texts]
            keys.append(hash_of(words) if all(words) else 0)
    return np.frombuffer(keys, dtype=np.uint64)


def group_cell(value: object) -> str | None:
    """A cell of the column that says what belongs together, as a text, None for a gap.

    >>> group_cell(7.0), group_cell("7"), group_cell(float("nan"))
    ('7', '7', None)
    """
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    return str(int(value)) if isinstance(value, float | np.floating) and float(value).is_integer() else str(value)


def with_group_cells(table: Dataset | pd.DataFrame, group: str, cache_dir: str = "") -> Dataset | pd.DataFrame:
    """The table with the cells of one column as texts, where it has other cells.

    >>> with_group_cells(pd.DataFrame({"customer": [7, 8]}), "customer")["customer"].tolist()
    ['7', '8']
    """
    if isinstance(table, pd.DataFrame):
        return table.assign(**{group: pd.Series(map(group_cell, table[group]), table.index, dtype=object)})
    if getattr(table.features[group], "dtype", None) == "string":
        return table

    def texts(batch: dict) -> dict[str, list]:
        return {group: [group_cell(value) for value in batch[group]]}

    features = Features({**table.features, group: Value("string")})
    return mapped(table.with_format(None), texts, cache_dir, features=features)


def group_numbers(cells: Sequence[str | None] | pa.ChunkedArray) -> np.ndarray:
    """For each cell the number of its group, -1 for a gap; spellings that mean the same are one group.

    >>> group_numbers(["Ann", "ann ", None, "7", "\\uff17", "N/A", "NA", "Na"]).tolist()
    [0, 0, -1, 1, 1, -1, -1, 2]
    """
    column = cells if isinstance(cells, pa.ChunkedArray) else pa.chunked_array([pa.array(cells, pa.string())])
    encoded = column.combine_chunks().dictionary_encode()
    spelt = [label_key(cell) for cell in encoded.dictionary.to_pylist()]
    keys = ["" if name in NO_NAMES else name.casefold() for name in spelt]
    every, numbers = sorted({*keys, *([""] if encoded.null_count else [])}), {}
    gaps = {key for key in every if is_gap(key, every)}
    found = [-1 if key in gaps else numbers.setdefault(key, len(numbers)) for key in keys]
    return np.array([*found, -1], dtype=np.int64)[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]


def label_groups(labels: np.ndarray) -> np.ndarray:
    """Labels as marks, (rows, labels) of true and false, or as whole numbers; of many numbers five parts of a scale.

    >>> label_groups(np.array([0.5, 1.0, 0.5])).tolist()
    [0, 1, 0]
    """
    if labels.ndim == 2:
        return labels > 0.5
    distinct, places = np.unique(labels, return_inverse=True)
    return places if labels.dtype.kind in "iu" or len(distinct) <= 12 else places * 5 // len(distinct)


def chosen_sizes(sizes: np.ndarray, wanted: float) -> np.ndarray:
    """Places of groups, taken one after the other, where each brings their sum closer to what is wanted.

    >>> chosen_sizes(np.array([1, 9, 2, 1, 1]), 4).tolist()
    [0, 2, 3]
    """
    taken, start = [], 0
    while start < len(sizes) and wanted > 0.5:
        for place, size in enumerate(sizes[start : start + AT_ONCE].tolist(), start):
            if size < 2 * wanted:
                taken.append(place)
                wanted -= size
        start += AT_ONCE
    return np.array(taken, dtype=np.int64)


def one_split(counts: csc_matrix, validation: float, random: np.random.Generator) -> np.ndarray:
    """For each group whether it is to validate with; `counts` are its rows by label, the last column all of them.

    Labels are shared out one after the other, the rarest first, each with the groups that are still free, in random
    order: a group is taken where it brings the label closer to its share. A label stays in training with one group at
    least, and is in validation with one, too, where there are two or more.

    >>> counts = csc_matrix(np.array([[2, 2], [2, 2], [2, 2], [2, 2]]))
    >>> int(one_split(counts, 0.25, np.random.default_rng(0)).sum())
    1
    """
    part, rank = np.full(counts.shape[0], -1, dtype=np.int8), random.permutation(counts.shape[0])
    totals = np.asarray(counts.sum(axis=0)).ravel()
    for label in [*np.argsort(totals[:-1], kind="stable"), len(totals) - 1]:
        column = slice(counts.indptr[label], counts.indptr[label + 1])
        mine, sizes = counts.indices[column], counts.data[column]
        wanted = max(totals[label] * validation, 1) - sizes[part[mine] == 1].sum()
        free = np.flatnonzero(part[mine] < 0)
        free = free[np.argsort(rank[mine[free]], kind="stable")]
        taken = free[chosen_sizes(sizes[free], wanted)]
        if not (len(taken) or (part[mine] == 1).any()) and len(free) > 1:
            taken = free[[sizes[free].argmin()]]
        if len(taken) == len(free) and not (part[mine] == 0).any():
            taken = taken[:-1]
        part[mine[free]] = 0
        part[mine[taken]] = 1
    return part == 1


def unevenness(counts: csc_matrix, chosen: np.ndarray, validation: float) -> float:
    """How far the shares of labels are from what was asked for; a label that is missing on one side counts most.

    >>> unevenness(csc_matrix(np.array([[2, 2], [2, 2]])), np.array([True, False]), 0.5)
    0.0
    """
    totals = np.asarray(counts.sum(axis=0)).ravel()
    found = np.asarray(counts[np.flatnonzero(chosen)].sum(axis=0)).ravel()
    missing = 100 * (found == totals).sum() + (found == 0).sum()
    return float(missing + np.abs(found / totals - validation).mean() + np.abs(found / totals - validation)[-1])


def split_groups(groups: np.ndarray, labels: np.ndarray, validation: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers to train and to validate with: whole groups, and each label with its share, as nearly as possible.

    >>> train, valid = split_groups(np.array([0, 0, 1, 1, 2, 2, 3, 3]), np.array([0, 1] * 4), 0.25, 0)
    >>> len(train), len(valid)
    (6, 2)
    """
    groups, labels = np.unique(groups, return_inverse=True)[1], label_groups(labels)
    rows, columns = np.nonzero(labels) if labels.ndim == 2 else (np.arange(len(labels)), labels)
    used, columns = np.unique(columns, return_inverse=True)
    groups = groups.astype(np.int32)
    columns, last = columns.astype(np.int32), np.full(len(groups), len(used), dtype=np.int32)
    places = np.concatenate([groups[rows], groups]), np.concatenate([columns, last])
    del rows, columns, last
    counts = csc_matrix((np.ones(len(places[0]), dtype=np.int32), places))
    del places
    found = (one_split(counts, validation, np.random.default_rng([seed, trial])) for trial in range(TRIALS))
    chosen = min(found, key=lambda chosen: unevenness(counts, chosen, validation))[groups]
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def check_groups(groups: np.ndarray, valid: np.ndarray, validation: float, source: dict) -> None:
    """Make sure that a split into whole groups is about what was asked for; a `ValueError` says why it cannot be.

    >>> check_groups(np.array([0, 0, 0]), np.array([]), 0.5, {"name": "a.csv", "group": "customer"})
    Traceback (most recent call last):
    ValueError: all usable rows of 'a.csv' are of one group, by the column 'customer', ...
    """
    name, column, sizes = source["name"], source["group"], np.bincount(groups)
    if (sizes > 0).sum() < 2:
        raise trouble("one_group", name=name, given=column)
    share = len(valid) / len(groups)
    if not validation / 2 <= share <= 2 * validation:
        values = {"groups": int((sizes > 0).sum()), "largest": int(sizes.max()), "rows": len(groups)}
        raise trouble("large_groups", name=name, given=column, share=validation, nearest=f"{share:.2g}", **values)


def near_doubles(near: np.ndarray) -> int:
    """How many rows are near-doubles of another row.

    >>> near_doubles(np.array([7, 8, 7, 9]))
    2
    """
    sizes = np.unique(near, return_counts=True)[1]
    return int(sizes[sizes > 1].sum())


@dataclass
class Sides:
    """What decides on which side of a split rows may stand, of all rows that were read.

    `near` are keys of near-doubles, `groups` numbers of groups (-1: a gap), `own` says which rows come from a table to
    validate with. `notes` are what is to be said, `left` positions of rows that a split leaves out.

    >>> Sides(np.array([7, 8])).own is None
    True
    """

    near: np.ndarray
    groups: np.ndarray | None = None
    own: np.ndarray | None = None
    notes: list[dict] = field(default_factory=list)
    left: dict[str, np.ndarray] = field(default_factory=dict)

    def sorted(self, sort: Callable, keys: np.ndarray, numbers: np.ndarray, marks: np.ndarray | None) -> dict:
        """The piles of `sort_rows`, with more reasons to leave a row out: no group, or a table to validate with."""
        pool = np.arange(len(keys))
        ungrouped = pool[:0] if self.groups is None else np.flatnonzero((self.groups < 0) & (keys != 0))
        if self.own is None and not len(ungrouped):
            return {"no_group": ungrouped} | sort(keys, numbers, marks)
        pool = np.setdiff1d(pool, ungrouped)
        if self.own is None:
            piles = {why: pool[rows] for why, rows in sort(keys[pool], numbers[pool], marks).items()}
            return {"no_group": ungrouped} | piles
        return {"no_group": ungrouped} | self.sorted_tables(pool, sort, keys, numbers, marks)

    def sorted_tables(self, pool: np.ndarray, sort: Callable, keys, numbers, marks) -> dict[str, np.ndarray]:
        """The piles of two tables. What stands in both leaves training, and no label is rare in the second.

        Where no row to train with has a label, those to validate with that have it are left out.
        """
        valid, train = pool[self.own[pool]], pool[~self.own[pool]]
        theirs = {why: valid[rows] for why, rows in sort(keys[valid], numbers[valid], marks, 0).items()}
        good = (keys[train] != 0) & (numbers[train] >= 0)
        near = good & np.isin(self.near[train], self.near[theirs["kept"]])
        grouped = good & ~near & (self.groups is not None)
        if self.groups is not None:
            grouped &= np.isin(self.groups[train], self.groups[theirs["kept"]])
        rest, shown = train[~near & ~grouped], theirs["kept"]
        ours = {why: rest[rows] for why, rows in sort(keys[rest], numbers[rest], marks).items()}
        if marks is None:
            strange = ~np.isin(numbers[shown], numbers[ours["kept"]])
        else:
            strange = marks[numbers[shown]][:, ~marks[numbers[ours["kept"]]].any(axis=0)].any(axis=1)
        piles = {why: np.concatenate([ours[why], theirs[why]]) for why in ours}
        piles |= {"in_validation": train[near], "group_in_validation": train[grouped]}
        return piles | {"not_in_training": shown[strange], "kept": np.concatenate([ours["kept"], shown[~strange]])}

    def split(self, kept: np.ndarray, labels: np.ndarray, validation: float, seed: int, source: dict) -> tuple | None:
        """Places in `kept` to train and to validate with; None where rows stand alone, and any split is fair."""
        if self.own is not None:
            return np.flatnonzero(~self.own[kept]), np.flatnonzero(self.own[kept])
        near, doubles = self.near[kept], near_doubles(self.near[kept])
        if self.groups is None:
            if not doubles:
                return None
            self.notes.append({"key": "near", "rows": doubles})
            train, valid = split_groups(near, labels, validation, seed)
            if not len(valid):
                raise trouble("few_texts", name=source["name"], rows=len(near), texts=len(np.unique(near)))
            return train, valid
        groups = self.groups[kept]
        train, valid = split_groups(groups, labels, validation, seed)
        check_groups(groups, valid, validation, source)
        across = np.isin(near[train], near[valid])
        values = {"groups": len(np.unique(groups)), "valid": len(np.unique(groups[valid]))}
        self.notes.append({"key": "groups", "column": source["group"], **values})
        self.left["in_validation"] = kept[train[across]]
        return train[~across], valid


def check_learned(labels: np.ndarray, train: np.ndarray, names: Sequence[str], source: dict) -> None:
    """Make sure that each label is among the rows to train with; a `ValueError` names one that is not.

    >>> check_learned(np.array([0, 1]), np.array([0]), ["bad", "good"], {"name": "a.csv", "group": "customer"})
    Traceback (most recent call last):
    ValueError: whole groups of 'a.csv', by the column 'customer', cannot be split so that the label 'good' stays in ...
    """
    marks = labels > 0.5 if labels.ndim == 2 else labels[:, None] == np.arange(len(names))
    for name, learned in zip(names, marks[train].any(axis=0), strict=True):
        if not learned:
            raise trouble("group_labels", name=source["name"], given=source["group"], label=name)


def check_group(group: object) -> None:
    """Make sure that something can be the name of a column of groups.

    >>> check_group(3)
    Traceback (most recent call last):
    ValueError: group is 3; expected the name of a column, such as 'customer': ...
    """
    if group is not None and (not isinstance(group, str) or not group):
        raise trouble("group_type", given=reprlib.repr(group))
