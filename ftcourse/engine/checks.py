"""What can be wrong with arguments, names and texts: asked once, answered with what was given, what was expected and
what to do."""

import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real

from ftcourse.engine.messages import trouble

GAP = re.compile(r"{(\w+)}")
LANGS = ("en", "ar", "zh", "zh-Hant")
PRECISIONS = ("no", "bf16", "fp16", "auto")
SAMPLINGS = ("group_by_length", "random")
CLASS_WEIGHTS = ("balanced",)
KEEPS = ("last", "best")
LEAST = {"epochs": 1, "batch_size": 1, "accumulation": 1, "workers": 0, "save_steps": 1, "seed": 0}


def known(kind: str, name: str, names: tuple[str, ...]) -> str:
    """The name itself, where it is one of `names`; a `ValueError`, the message `unknown_{kind}`, lists them if not.

    >>> known("language", "ar", ("en", "ar"))
    'ar'
    """
    if name not in names:
        raise trouble(f"unknown_{kind}", given=name, known=", ".join(names))
    return name


def check_number(name: str, value: float, least: float | None = None, *, whole: bool = False) -> float:
    """The value, called `name` in messages, where it is a number, `least` or more; above 0 without `least`.

    A `ValueError` says what is expected where it is not. A `whole` number needs `least`.

    >>> check_number("epochs", 0, 1, whole=True)
    Traceback (most recent call last):
    ValueError: epochs must be a whole number, 1 or more; got 0
    """
    kind = Integral if whole else Real
    good = isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)
    if not good or (value <= 0 if least is None else value < least):
        key = "whole" if whole else "above_0" if least is None else "number"
        raise trouble(key, name=name, least=least, given=value)
    return int(value) if whole else value


def check_threshold(value: float) -> float:
    """The value, where it is a probability from which a label counts as given: above 0, below 1.

    >>> check_threshold(50)
    Traceback (most recent call last):
    ValueError: threshold is 50; expected a probability above 0 and below 1, such as 0.5
    """
    if not isinstance(value, Real) or not 0 < value < 1:
        raise trouble("threshold", given=value)
    return float(value)


def check_config(config) -> None:
    """Make sure that each value of a `TrainConfig` can be used; a `ValueError` names the first that cannot.

    >>> from ftcourse.loop import TrainConfig
    >>> check_config(TrainConfig(epochs=1))
    """
    for name, least in LEAST.items():
        check_number(name, getattr(config, name), least, whole=True)
    for name in ("warmup", "weight_decay"):
        check_number(name, getattr(config, name), 0)
    check_number("lr", config.lr)
    if config.clip is not None:
        check_number("clip", config.clip)
    if config.precision is not None:
        known("precision", config.precision, PRECISIONS)
    known("sampling", config.sampling, SAMPLINGS)
    if config.class_weights is not None:
        known("class_weights", config.class_weights, CLASS_WEIGHTS)
    known("keep", config.keep, KEEPS)
    if config.max_steps is not None:
        check_number("max_steps", config.max_steps, 1, whole=True)
    if config.patience is not None:
        check_number("patience", config.patience, 1, whole=True)


def fill_gaps(text: str, numbers: Mapping[str, float]) -> str:
    """A text whose gaps, names in braces, are filled with the numbers of those names, rounded to three digits.

    A `ValueError` for a gap that has no number, and for a text that has no gap.

    >>> fill_gaps("{accuracy} of {rows}", {"accuracy": 2 / 3, "rows": 90})
    '0.667 of 90'
    >>> fill_gaps("{f1}", {"accuracy": 0.5})
    Traceback (most recent call last):
    ValueError: unknown number 'f1'; known: accuracy
    """
    check_kind("text", text, str)
    shown = {name: str(value) if isinstance(value, Integral) else f"{value:.3f}" for name, value in numbers.items()}
    filled = GAP.sub(lambda gap: shown[known("number", gap[1], tuple(shown))], text)
    if filled == text:
        raise trouble("no_gap", known=", ".join(f"{{{name}}}" for name in shown))
    return filled


def check_kind(name: str, value: object, kind: type) -> None:
    """Make sure that a value, called `name` in the message, is of a kind; or else a `ValueError`.

    >>> check_kind("config", 3, dict)
    Traceback (most recent call last):
    ValueError: config must be a dict; got 3
    """
    if not isinstance(value, kind):
        raise trouble("kind", name=name, kind=kind.__name__, given=value)


def check_functions(collate: Callable, metrics: Callable | None) -> None:
    """Make sure that these are two functions, or one and None; or else a `ValueError`.

    >>> check_functions(list, "accuracy")
    Traceback (most recent call last):
    ValueError: metrics must be a function, as ftcourse.trainer.metrics_for makes one; got 'accuracy'
    """
    if not callable(collate):
        raise trouble("collate", given=collate)
    if metrics is not None and not callable(metrics):
        raise trouble("metrics", given=metrics)


def check_callbacks(callbacks: Iterable[Callable]) -> list[Callable]:
    """The callbacks as a list; a `ValueError` where they are no functions.

    >>> check_callbacks(print)
    Traceback (most recent call last):
    ValueError: callbacks must be a list of functions, each called with model and history; got <built-in function print>
    """
    found = list(callbacks) if isinstance(callbacks, Iterable) else [None]
    if not all(map(callable, found)):
        raise trouble("callbacks", given=reprlib.repr(callbacks))
    return found


def as_texts(texts: Iterable[str], name: str = "texts", *, least: int = 0, first: int = 0) -> list[str]:
    """The texts as a list, from a list, a column of a data set, a generator or anything else that gives `str`.

    Raises `ValueError` for a single `str`, for a table, for fewer than `least`, and for an entry that is no `str`,
    with its position, counted from `first`.

    >>> as_texts(text.strip() for text in (" a", "b "))
    ['a', 'b']
    """
    if isinstance(texts, str):
        raise trouble("single_text", name=name, given=reprlib.repr(texts))
    if not isinstance(texts, Iterable) or isinstance(texts, Mapping) or getattr(texts, "ndim", 1) != 1:
        raise trouble("texts", name=name, type=type(texts).__name__)
    texts = list(texts)
    if len(texts) < least:
        raise trouble("no_texts", name=name)
    for position, text in enumerate(texts, first):
        if not isinstance(text, str):
            raise trouble("text", place=f"{name}[{position}]", given=reprlib.repr(text), type=type(text).__name__)
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise trouble("half_text", place=f"{name}[{position}]")
    return texts


def as_inputs(texts: Iterable[str], pairs: Iterable[str] | None = None) -> list[str] | list[tuple[str, str]]:
    """The texts as a list, or as pairs with the texts in `pairs`; a `ValueError` where the two have different lengths.

    >>> as_inputs(["a", "b"], ["c", "d"])
    [('a', 'c'), ('b', 'd')]
    """
    texts = as_texts(texts)
    if pairs is None:
        return texts
    pairs = as_texts(pairs, "pairs")
    check_same_length(texts=texts, pairs=pairs)
    return list(zip(texts, pairs, strict=True))


def check_same_length(**columns: Sequence) -> None:
    """Raises `ValueError`, naming the lengths, where they are not all the same.

    >>> check_same_length(texts=["a", "b"], references=[0, 1])
    """
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise trouble("lengths", found=", ".join(f"len({name})={length}" for name, length in lengths.items()))


def check_names(labels: Sequence[str]) -> list[str]:
    """The names of the labels as a list.

    Raises `ValueError` for fewer than two, for one that is no text or is empty, and for one that occurs twice.

    >>> check_names(("bad", "good"))
    ['bad', 'good']
    """
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise trouble("names", given=labels)
    labels = list(labels)
    if len(labels) < 2:
        raise trouble("few_names", count=len(labels), given=labels)
    wrong = [label for label in labels if not isinstance(label, str) or not label.strip()]
    if wrong:
        raise trouble("no_names", given=wrong)
    repeated = sorted({label for label in labels if labels.count(label) > 1})
    if repeated:
        raise trouble("same_names", given=repeated)
    return labels


def kind_of_bytes(start: bytes) -> str:
    """What the first 2,048 bytes of a file, or all that it has, tell about it: `empty`, `text` or `unknown`.

    >>> kind_of_bytes(b""), kind_of_bytes("نص".encode()), kind_of_bytes(b"RIFF\\x00\\xff")
    ('empty', 'text', 'unknown')
    """
    if not start:
        return "empty"
    try:
        text = start.decode(errors="strict" if len(start) < 2048 else "ignore")
    except UnicodeDecodeError:
        return "unknown"
    return "text" if "\0" not in text else "unknown"
