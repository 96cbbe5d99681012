"""Data sets before they are used: their columns, texts and labels, and what a tokenizer and a model make of them."""

import inspect
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, IterableDataset, Value
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ftcourse.engine.inputs import check_inputs
from ftcourse.engine.messages import in_words, trouble

ROW_WEIGHT = "row_weight"  # the column that says how much a row counts in training
IGNORED = -100  # a label that counts for nothing in the loss


def check_lengths(lengths: Sequence[int]) -> np.ndarray:
    """The lengths as an array, one whole number a row; a `ValueError` says what is expected where they are not.

    >>> check_lengths([3, 5])
    array([3, 5])
    """
    if isinstance(lengths, np.ndarray) and lengths.dtype.kind in "iu" and lengths.ndim == 1 and lengths.size:
        wrong = lengths[lengths < 0][:1].tolist()
        if not wrong:
            return lengths
    values = lengths.tolist() if hasattr(lengths, "tolist") else list(lengths)
    wrong = [value for value in values if not isinstance(value, int | np.integer) or value < 0]
    if wrong or not values:
        raise trouble("row_lengths", given=reprlib.repr(wrong[0] if wrong else values))
    return np.array(values)


def check_labels(
    labels: Iterable, num_labels: int | None = None, name: str = "labels", *, loss: bool = False, first: int = 0
) -> None:
    """Make sure that labels are whole numbers from 0 to `num_labels - 1`; a `ValueError` names the first that is not.

    What a `loss` takes is more: lists of labels, -100 for tokens that do not count, and any number where there is
    only one label or one number for each. Labels are counted from `first`.

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
    raise label_trouble(f"{name}[{first + row}]", column[row].as_py(), num_labels)


def as_column(labels: Iterable, name: str) -> pa.ChunkedArray:
    """Labels as an Arrow column; a `ValueError` names the first that is no whole number.

    >>> as_column([0, 2], "labels").to_pylist()
    [0, 2]
    """
    values = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    for row, value in enumerate(values):
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise label_trouble(f"{name}[{row}]", value, None)
    return pa.chunked_array([pa.array([int(value) for value in values], type=pa.int64())])


def label_trouble(place: str, label: object, num_labels: int | None) -> Exception:
    """The error for a label that cannot be used: what it is, what was expected, and what to do.

    >>> label_trouble("labels[0]", "good", None)
    ValueError("labels[0] is 'good'; expected a label, a whole number from 0; turn names into numbers with ...")
    """
    expected = in_words("label_up_to", most=num_labels - 1) if num_labels else in_words("any_label")
    advice = in_words("gap" if label is None else "named" if isinstance(label, str) else "renumber")
    return trouble("label", place=place, given=reprlib.repr(label), expected=expected, advice=advice)


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
        splits = ", ".join(map(repr, dataset)) if isinstance(dataset, Mapping) else None
        key = "dataset" if splits is None else "dataset_dict"
        raise trouble(key, name=name, type=type(dataset).__name__, splits=splits)
    if len(dataset) == 0:
        raise trouble("empty_dataset", name=name, columns=dataset.column_names)
    for column in columns:
        if column not in dataset.column_names:
            key = "not_tokenized" if column in ("input_ids", "labels") else "missing_column"
            raise trouble(key, name=name, given=column, columns=dataset.column_names)


def check_images(dataset: Dataset) -> None:
    """Make sure that a data set has rows, and the columns `image` and `label`; a `ValueError` says how to name them.

    >>> check_images(Dataset.from_dict({"photo": [None], "label": [0]}))
    Traceback (most recent call last):
    ValueError: dataset has no column 'image'; columns: ['photo', 'label']; expected 'image' and 'label': rename ...
    """
    check_dataset(dataset)
    for column in ("image", "label"):
        if column not in dataset.column_names:
            raise trouble("image_columns", given=column, columns=dataset.column_names)


def label_column(dataset: Dataset, column: str) -> pa.ChunkedArray:
    """A column as Arrow keeps it, without a copy."""
    return dataset.select_columns(column).with_format("arrow")[:][column]


def column_array(dataset: Dataset, column: str) -> np.ndarray:
    """A column of numbers, or of lists of as many numbers each, as an array, without an object for each number.

    >>> column_array(Dataset.from_dict({"label": [[1.0, 0.0], [1.0, 1.0]]}), "label").tolist()
    [[1.0, 0.0], [1.0, 1.0]]
    """
    values, depth = label_column(dataset, column), 0
    while hasattr(values.type, "value_type"):
        values, depth = pc.list_flatten(values), depth + 1
    return values.to_numpy().reshape(len(dataset), *[-1] * depth)


def check_labelled(dataset: Dataset, model: PreTrainedModel, name: str) -> None:
    """Make sure that tokenized data, called `name` in messages, can train a model.

    >>> from ftcourse.engine.models import load_classifier
    >>> from ftcourse.kit import Kit
    >>> data = Dataset.from_dict({"input_ids": [[2, 3]], "labels": [5]})
    >>> check_labelled(data, load_classifier(Kit().model("stars")), "train_data")
    Traceback (most recent call last):
    ValueError: train_data['labels'][0] is 5; expected a label from 0 to 4; ...
    """
    check_dataset(dataset, name, ["input_ids", "labels"])
    check_labels(label_column(dataset, "labels"), model.config.num_labels, f"{name}['labels']", loss=True)
    check_inputs(model, dataset, name)


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
        raise trouble("text_columns", count=len(names), given=names, columns=dataset.column_names)
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
        raise trouble("max_length", least=shortest, most=tokenizer.model_max_length, given=max_length)


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, *, fast: bool = False) -> None:
    """Make sure that something is a tokenizer, and where asked, one that knows its tokens' places in the text.

    >>> check_tokenizer("encoder")
    Traceback (most recent call last):
    ValueError: tokenizer is of type str; expected what AutoTokenizer.from_pretrained(name) returns
    """
    if not isinstance(tokenizer, PreTrainedTokenizerBase) or (fast and not tokenizer.is_fast):
        raise trouble("fast_tokenizer" if fast else "tokenizer", type=type(tokenizer).__name__)


def check_model(model: PreTrainedModel) -> PreTrainedModel:
    """The model itself, where it is one that is loaded; a `ValueError` says how to load it where not.

    >>> check_model("encoder")
    Traceback (most recent call last):
    ValueError: expected a loaded model, got a str; load it with AutoModelForSequenceClassification.from_pretrained(...
    """
    if not isinstance(model, PreTrainedModel):
        raise trouble("model", type=type(model).__name__)
    return model


def check_values(model: PreTrainedModel, data: Dataset, name: str, collate: Callable, first: int = 0) -> None:
    """Make sure that labels and token ids are such as a model has; a `ValueError` names the row, counted from `first`.

    >>> from ftcourse.engine.models import small_example
    >>> model, _, collate = small_example()
    >>> check_values(model, Dataset.from_dict({"input_ids": [[2]], "labels": [9]}), "train_data", collate, first=40)
    Traceback (most recent call last):
    ValueError: train_data['labels'][40] is 9; expected a label from 0 to 4; ...
    """
    for column in {"label", "labels"}.intersection(data.column_names):
        num_labels = getattr(model, "num_labels", 1)
        check_labels(label_column(data, column), num_labels, f"{name}['{column}']", loss=True, first=first)
    check_inputs(model, data, name, collate, first)


def with_decimals(model: PreTrainedModel, data: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """The data, in which whole numbers to learn have become decimals, as a loss over numbers wants them.

    >>> from ftcourse.engine.models import small_example
    >>> model, _, _ = small_example()
    >>> model.config.num_labels, model.config.problem_type = 1, "regression"
    >>> with_decimals(model, Dataset.from_dict({"labels": [5]}))[0]
    {'labels': 5.0}
    """
    config = getattr(model, "config", None)
    if getattr(config, "num_labels", None) == 1 and config.problem_type in (None, "regression"):
        for column, feature in (data.features or {}).items():
            if column in ("label", "labels") and str(getattr(feature, "dtype", "")).startswith(("int", "uint")):
                data = data.cast_column(column, Value("float32"))
    return data


def checked_data(
    model: PreTrainedModel, data: Dataset | IterableDataset, collate: Callable, name: str
) -> Dataset | IterableDataset:
    """The columns of `data` that `model` takes, once rows, labels and a first batch are found good, or `ValueError`.

    To train on, `data` may be a stream, of which the first rows are looked at here, and the others on their way.

    >>> from ftcourse.engine.models import load_classifier
    >>> from ftcourse.kit import Kit
    >>> from transformers import default_data_collator
    >>> model = load_classifier(Kit().model("stars"))
    >>> checked_data(model, Dataset.from_dict({"input_ids": [[2, 3]]}), default_data_collator, "train_data")
    Traceback (most recent call last):
    ValueError: the batches of train_data have no 'labels', without which there is no loss; columns: ['input_ids']; ...
    """
    if not callable(getattr(model, "forward", None)):
        check_model(model)
    if isinstance(data, IterableDataset) and name == "train_data":
        start = Dataset.from_list([*data.with_format(None).take(2)], features=data.features)
        return with_decimals(model, data.select_columns(checked_data(model, start, collate, name).column_names))
    check_dataset(data, name, [getattr(model, "main_input_name", "input_ids")])
    takes = {*inspect.signature(model.forward).parameters, "label"} | ({ROW_WEIGHT} if name == "train_data" else set())
    data = data.select_columns([column for column in data.column_names if column in takes])
    data = with_decimals(model, data)
    check_values(model, data, name, collate)
    batch = collate([data[row] for row in range(min(2, len(data)))])
    if not isinstance(batch, Mapping):
        raise trouble("batch", type=type(batch).__name__)
    if "labels" not in batch:
        raise trouble("no_labels", name=name, columns=data.column_names)
    return data
