"""Data sets before they are used: their columns, texts and labels, and what a tokenizer and a model make of them."""

import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100  # a label that counts for nothing in the loss


def check_lengths(lengths: Sequence[int]) -> np.ndarray:
    """The lengths as an array, one whole number a row; a `ValueError` says what is expected where they are not.

    >>> check_lengths([3, 5])
    array([3, 5])
    """
    values = lengths.tolist() if hasattr(lengths, "tolist") else list(lengths)
    wrong = [value for value in values if not isinstance(value, int | np.integer) or value < 0]
    if wrong or not values:
        advice = "expected the length of each row, as in [len(ids) for ids in dataset['input_ids']]"
        raise ValueError(f"{advice}; got {reprlib.repr(wrong[0]) if wrong else 'no rows'}")
    return np.array(values)


def check_labels(labels: Iterable, num_labels: int | None = None, name: str = "labels", *, loss: bool = False) -> None:
    """Make sure that labels are whole numbers from 0 to `num_labels - 1`; a `ValueError` names the first that is not.

    What a `loss` takes is more: lists of labels, -100 for tokens that do not count, and any number where there is
    only one label or one number for each.

    >>> check_labels([0, 5], 5, "train_data['labels']")
    Traceback (most recent call last):
    ValueError: train_data['labels'][1] is 5; expected a label from 0 to 4; number the labels from 0, or load the ...
    """
    column, depth = labels if isinstance(labels, pa.ChunkedArray) else as_column(labels, name), 0
    while loss and hasattr(column.type, "value_type"):
        column, depth = pc.list_flatten(column), depth + 1
    if loss and not column.null_count and (num_labels == 1 or depth) and pa.types.is_floating(column.type):
        return
    if pa.types.is_integer(column.type):
        high = num_labels - 1 if num_labels else np.iinfo(np.int64).max
        inside = pc.and_(pc.greater_equal(column, 0), pc.less_equal(column, high))
        good = pc.or_(inside, pc.equal(column, IGNORED)) if loss else inside
        good = pc.fill_null(pc.or_(good, loss and num_labels == 1), False)
        if pc.all(good).as_py() is not False:
            return
        row = pc.index(good, False).as_py()
    elif not len(column):
        return
    else:
        row = pc.index(pc.is_null(column), True).as_py() if pa.types.is_floating(column.type) else 0
        row = max(row, 0)
    raise ValueError(f"{name}[{row}] is {label_trouble(column[row].as_py(), num_labels)}")


def as_column(labels: Iterable, name: str) -> pa.ChunkedArray:
    """Labels as an Arrow column; a `ValueError` names the first that is no whole number.

    >>> as_column([0, 2], "labels").to_pylist()
    [0, 2]
    """
    values = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    for row, value in enumerate(values):
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ValueError(f"{name}[{row}] is {label_trouble(value, None)}")
    return pa.chunked_array([pa.array([int(value) for value in values], type=pa.int64())])


def label_trouble(label: object, num_labels: int | None) -> str:
    """A label that cannot be used, what was expected, and what to do.

    >>> label_trouble("good", None)
    "'good'; expected a label, a whole number from 0; turn names into numbers with dataset.class_encode_column(...)"
    """
    expected = f"a label from 0 to {num_labels - 1}" if num_labels else "a label, a whole number from 0"
    if label is None:
        advice = "leave out rows without a label, with dataset.filter"
    elif isinstance(label, str):
        advice = "turn names into numbers with dataset.class_encode_column(...)"
    else:
        advice = "number the labels from 0, or load the model with another num_labels"
    return f"{reprlib.repr(label)}; expected {expected}; {advice}"


def as_labels(labels: Iterable[int], num_labels: int, name: str) -> np.ndarray:
    """The labels as an array of whole numbers, shape (number of labels,); errors as in `check_labels`.

    >>> as_labels([0, 2, 1], 3, "references")
    array([0, 2, 1])
    """
    labels = list(labels)
    check_labels(labels, num_labels, name)
    return np.array(labels, dtype=np.int64)


def check_dataset(dataset: Dataset, name: str = "dataset", columns: Sequence[str] = ()) -> None:
    """Make sure that something is one split of a data set, has rows, and has these columns.

    >>> check_dataset(Dataset.from_dict({"text": ["a"]}), "train_data", ["input_ids"])
    Traceback (most recent call last):
    ValueError: train_data has no column 'input_ids'; columns: ['text']; ftcourse.data.tokenize makes it from texts
    """
    if not isinstance(dataset, Dataset):
        splits = (
            f", with the splits {', '.join(map(repr, dataset))}: take one of them"
            if isinstance(dataset, Mapping)
            else ""
        )
        raise ValueError(f"{name} must be a datasets.Dataset; got a {type(dataset).__name__}{splits}")
    if len(dataset) == 0:
        columns = f"only the columns {dataset.column_names}"
        raise ValueError(f"{name} has no rows, {columns}; check the filter or the file that it came from")
    for column in columns:
        if column not in dataset.column_names:
            advice = "; ftcourse.data.tokenize makes it from texts" if column in ("input_ids", "labels") else ""
            raise ValueError(f"{name} has no column {column!r}; columns: {dataset.column_names}{advice}")


def label_column(dataset: Dataset, column: str) -> pa.ChunkedArray:
    """A column as Arrow keeps it, without a copy."""
    return dataset.select_columns(column).with_format("arrow")[:][column]


def check_labelled(dataset: Dataset, num_labels: int, name: str) -> None:
    """Make sure that tokenized data, called `name` in messages, can train a model with `num_labels` labels.

    >>> check_labelled(Dataset.from_dict({"input_ids": [[2, 3]], "labels": [5]}), 5, "train_data")
    Traceback (most recent call last):
    ValueError: train_data['labels'][0] is 5; expected a label from 0 to 4; ...
    """
    check_dataset(dataset, name, ["input_ids", "labels"])
    check_labels(label_column(dataset, "labels"), num_labels, f"{name}['labels']", loss=True)


def text_columns(dataset: Dataset) -> list[str]:
    """Names of the columns that hold texts, other than labels.

    >>> text_columns(Dataset.from_dict({"label": ["good"], "text": ["a"]}))
    ['text']
    """
    types = {name: getattr(feature, "dtype", None) for name, feature in dataset.features.items()}
    texts = [name for name, dtype in types.items() if dtype in ("string", "large_string")]
    return [name for name in texts if name not in ("label", "labels")]


def check_columns(dataset: Dataset, columns: str | Sequence[str] | None = None) -> list[str]:
    """The one or two columns to tokenize: those named, or else all that hold texts; labels are looked at, too.

    Raises `ValueError`, naming the columns there are, for a missing one, for none or more than two, for bad labels.

    >>> check_columns(Dataset.from_dict({"text": ["a"], "title": ["b"]}), "title")
    ['title']
    """
    columns = [columns] if isinstance(columns, str) else columns
    check_dataset(dataset)
    names = text_columns(dataset) if columns is None else list(columns)
    check_dataset(dataset, columns=names)
    if len(names) not in (1, 2):
        advice = f"name them with columns=[...]; columns: {dataset.column_names}"
        raise ValueError(f"expected one or two text columns, got {len(names)}: {names}; {advice}")
    label = dataset.features.get("label")
    if not getattr(label, "dtype", "float").startswith("float"):
        check_labels(label_column(dataset, "label"), getattr(label, "num_classes", None), "dataset['label']")
    return names


def check_length(tokenizer: PreTrainedTokenizerBase, max_length: int, pair: bool) -> None:
    """Make sure that `max_length` tokens leave room for text, and that the model can read as many.

    Raises `ValueError`, with the lengths that are possible, where it cannot.

    >>> from ftcourse.kit import Kit
    >>> from transformers import AutoTokenizer
    >>> check_length(AutoTokenizer.from_pretrained(Kit().model("encoder")), 128, pair=False)
    """
    check_tokenizer(tokenizer)
    shortest = tokenizer.num_special_tokens_to_add(pair=pair) + 1 + pair
    if not isinstance(max_length, Integral) or not shortest <= max_length <= tokenizer.model_max_length:
        possible = f"from {shortest} to {tokenizer.model_max_length} for this tokenizer"
        raise ValueError(f"max_length must be {possible}; got {max_length!r}")


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, *, fast: bool = False) -> None:
    """Make sure that something is a tokenizer, and where asked, one that knows its tokens' places in the text.

    >>> check_tokenizer("encoder")
    Traceback (most recent call last):
    ValueError: tokenizer is of type str; expected what AutoTokenizer.from_pretrained(name) returns
    """
    if not isinstance(tokenizer, PreTrainedTokenizerBase) or (fast and not tokenizer.is_fast):
        what = "a fast tokenizer, as AutoTokenizer.from_pretrained(name) gives for most names"
        expected = what if fast else "what AutoTokenizer.from_pretrained(name) returns"
        raise ValueError(f"tokenizer is of type {type(tokenizer).__name__}; expected {expected}")


def check_model(model: PreTrainedModel) -> PreTrainedModel:
    """The model itself, where it is one that is loaded; a `ValueError` says how to load it where not.

    >>> check_model("encoder")
    Traceback (most recent call last):
    ValueError: expected a loaded model, got a str; load it with AutoModelForSequenceClassification.from_pretrained(...
    """
    if not isinstance(model, PreTrainedModel):
        advice = "load it with AutoModelForSequenceClassification.from_pretrained(..., num_labels=...)"
        raise ValueError(f"expected a loaded model, got a {type(model).__name__}; {advice}")
    return model


def checked_data(model: PreTrainedModel, data: Dataset, collate: Callable, name: str) -> Dataset:
    """The columns of `data` that `model` takes, once rows, labels and a first batch are found good, or `ValueError`.

    >>> from ftcourse.engine.models import load_classifier
    >>> from ftcourse.kit import Kit
    >>> from transformers import default_data_collator
    >>> model = load_classifier(Kit().model("stars"))
    >>> checked_data(model, Dataset.from_dict({"input_ids": [[2, 3]]}), default_data_collator, "train_data")
    Traceback (most recent call last):
    ValueError: the batches of train_data have no 'labels', without which there is no loss; columns: ['input_ids']; ...
    """
    check_dataset(data, name, [getattr(model, "main_input_name", "input_ids")])
    takes = {*inspect.signature(model.forward).parameters, "label"}
    data = data.select_columns([column for column in data.column_names if column in takes])
    for column in {"label", "labels"}.intersection(data.column_names):
        num_labels = getattr(model, "num_labels", 1)
        check_labels(label_column(data, column), num_labels, f"{name}['{column}']", loss=True)
    batch = collate([data[row] for row in range(min(2, len(data)))])
    if not isinstance(batch, Mapping):
        raise ValueError(f"collate must return a dictionary of tensors, got a {type(batch).__name__}")
    if "labels" not in batch:
        has = f"columns: {data.column_names}; name the column of right answers 'labels'"
        raise ValueError(f"the batches of {name} have no 'labels', without which there is no loss; {has}")
    return data
