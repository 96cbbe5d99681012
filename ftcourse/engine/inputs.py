"""Rows of token ids, looked at before a model meets them: ids that it has no row for, rows too long, rows of none."""

from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset

from ftcourse.engine.messages import trouble

POSITIONS = ("position_embeddings", "position_embedding", "embed_positions", "wpe")
AT_ONCE = 10_000  # rows that are looked at in one go


def position_limit(model: torch.nn.Module) -> int | None:
    """How many tokens a model has positions for; None where its positions are worked out, and so have no end.

    A model made of another one, whose positions it does not show, has them as its `reach`.

    >>> from ftcourse.kit import Kit
    >>> from ftcourse.engine.models import load_classifier
    >>> position_limit(load_classifier(Kit("en").model("stars")))
    512
    """
    for name, module in model.named_modules():
        size = getattr(module, "num_embeddings", None)
        if name.split(".")[-1] in POSITIONS and size:
            padding = getattr(module, "padding_idx", None)
            known = getattr(getattr(model, "config", None), "max_position_embeddings", None) or size
            return min(size if padding is None else size - padding - 1, known)
    return getattr(model, "reach", None)


def table_sizes(model: torch.nn.Module) -> dict[str, int]:
    """How many ids each of a model's tables has, by the column of ids that are looked up there.

    >>> from ftcourse.kit import Kit
    >>> from ftcourse.engine.models import load_classifier
    >>> table_sizes(load_classifier(Kit("en").model("stars")))
    {'input_ids': 24000, 'token_type_ids': 2}
    """
    try:
        tables = {"input_ids": model.get_input_embeddings()}
    except (AttributeError, NotImplementedError):
        tables = {}
    kinds = [module for name, module in model.named_modules() if name.split(".")[-1] == "token_type_embeddings"]
    tables |= {"token_type_ids": kinds[0]} if kinds else {}
    sizes = {column: getattr(table, "num_embeddings", None) for column, table in tables.items()}
    return {column: size for column, size in sizes.items() if size}


def first_true(mask: pa.Array) -> int:
    """Where the first yes is; -1 without one. What is missing is a no.

    >>> first_true(pa.array([None, False, True]))
    2
    """
    return pc.index(mask, True).as_py()


def bad_row(data: Dataset, sizes: Mapping[str, int], most: int | None) -> tuple[str, str, int, int] | None:
    """What is wrong with the first row that a model cannot read: message, column, row and value; None for good rows.

    >>> rows = Dataset.from_dict({"input_ids": [[2, 3], [2, 99, 3], []]})
    >>> bad_row(rows, {"input_ids": 50}, 512), bad_row(rows, {}, 2), bad_row(rows, {}, None)
    (('token_id', 'input_ids', 1, 99), ('long_row', 'input_ids', 1, 3), ('empty_row', 'input_ids', 2, 0))
    """
    columns = [name for name in ("input_ids", "token_type_ids") if name in data.column_names]
    found, start = [], 0
    for table in data.select_columns(columns).with_format("arrow").iter(AT_ONCE):
        for name in columns:
            lists = table[name].combine_chunks()
            kind = getattr(lists.type, "value_type", None)
            if kind is None or not (pa.types.is_integer(kind) or pa.types.is_null(kind)):
                continue
            lengths, ids = pc.fill_null(pc.list_value_length(lists), 0), pc.list_flatten(lists)
            if name == "input_ids":
                tests = {"empty_row": pc.equal(lengths, 0)}
                tests |= {"long_row": pc.greater(lengths, most)} if most else {}
                found += [(key, name, row, lengths[row].as_py()) for key, row in rows_of(tests)]
            low, high = (None, None) if pa.types.is_null(kind) else pc.min_max(ids).as_py().values()
            if name in sizes and low is not None and (low < 0 or high >= sizes[name]):
                place = first_true(pc.or_(pc.less(ids, 0), pc.greater_equal(ids, sizes[name])))
                row = int(np.searchsorted(np.cumsum(lengths.to_numpy()), place, side="right"))
                found.append(("token_id", name, row, ids[place].as_py()))
        if found:
            key, name, row, value = min(found, key=lambda one: one[2])
            return key, name, start + row, value
        start += len(table)
    return None


def rows_of(tests: Mapping[str, pa.Array]) -> list[tuple[str, int]]:
    """Which tests are met by some row, and by which one first.

    >>> rows_of({"empty": pa.array([False, True]), "long": pa.array([False, False])})
    [('empty', 1)]
    """
    return [(key, first_true(test)) for key, test in tests.items() if first_true(test) >= 0]


def check_inputs(
    model: torch.nn.Module, data: Dataset, name: str, collate: Callable | None = None, first: int = 0
) -> None:
    """Make sure that a model can read all rows of `data`, called `name` in messages; a `ValueError` names one if not.

    Where `collate` mends such a row, as one does that cuts rows off, nothing is wrong. Rows are counted from `first`.

    >>> from ftcourse.kit import Kit
    >>> from ftcourse.engine.models import load_classifier
    >>> check_inputs(load_classifier(Kit().model("stars")), Dataset.from_dict({"input_ids": [[2, 24000, 3]]}), "data")
    Traceback (most recent call last):
    ValueError: data['input_ids'][0] has the id 24000; the model knows those from 0 to 23999; tokenize with ...
    """
    if "input_ids" not in data.column_names:
        return
    sizes, most = table_sizes(model), position_limit(model)
    bad = bad_row(data, sizes, most)
    if bad is None:
        return
    key, column, row, value = bad
    if collate is not None:
        ids = collate([data[row]]).get(column)
        mended = {
            "empty_row": lambda: ids.shape[-1] > 0,
            "long_row": lambda: ids.shape[-1] <= most,
            "token_id": lambda: ids.min() >= 0 and ids.max() < sizes[column],
        }
        if isinstance(ids, torch.Tensor) and mended[key]():
            return
    most = sizes[column] - 1 if key == "token_id" else most
    raise trouble(key, place=f"{name}['{column}'][{first + row}]", given=value, most=most)
