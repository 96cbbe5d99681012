"""What a call of `finetune` asks for, and what tells it from another."""

import reprlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path

import numpy as np

from ftcourse.engine.checks import LANGS, known
from ftcourse.engine.cleaning import is_table
from ftcourse.engine.contents import content_hash
from ftcourse.engine.folders import CONTENT, name_of, noted
from ftcourse.engine.launch import MARK
from ftcourse.engine.messages import in_words, speaking, trouble
from ftcourse.engine.options import Options
from ftcourse.engine.run import plan_of
from ftcourse.engine.tables import TableFile

PLAIN = Options()
NEW = ("class_weights", "encoding", "sheet", "patience")
USUAL = vars(PLAIN) | dict.fromkeys(NEW) | {"keep": "last"}  # what calls did before they noted it


def in_its_language(function: Callable) -> Callable:
    """The function, which speaks the language of its argument `lang`, whatever the package speaks otherwise.

    >>> in_its_language(lambda column, lang: check_call(column, column, "model"))("review", lang="zh")
    Traceback (most recent call last):
    ValueError: 'review' 这一列写了两次；请指定不同的列
    """

    @wraps(function)
    def call(*arguments, lang: str = "en", **options):
        with speaking(known("language", lang, LANGS)):
            return function(*arguments, lang=lang, **options)

    return call


def check_call(text: object, label: object, output_dir: object, metrics: object = None, config: object = None) -> list:
    """The columns that a call of `finetune` names, texts first; a `ValueError` says what is wrong with the call.

    A list of columns in place of the label, one for each of several labels, stays a list.

    >>> check_call(["premise", "hypothesis"], "verdict", "model")
    ['premise', 'hypothesis', 'verdict']
    """
    texts = [text] if isinstance(text, str) else text
    if not isinstance(texts, list | tuple) or len(texts) not in (1, 2) or not all(isinstance(t, str) for t in texts):
        raise trouble("text_type", given=reprlib.repr(text))
    labels = [label] if isinstance(label, str) else label
    if not isinstance(labels, list | tuple) or not labels or not all(isinstance(name, str) for name in labels):
        raise trouble("label_type", given=reprlib.repr(label))
    columns = [*texts, *labels]
    for name in columns:
        if columns.count(name) > 1:
            raise trouble("same_column", given=name)
    if not isinstance(output_dir, str | Path) or not str(output_dir):
        raise trouble("output_type", given=output_dir)
    if metrics is not None and not callable(metrics):
        raise trouble("metrics", given=metrics)
    if config is not None and not hasattr(config, "accumulation"):
        raise trouble("config", given=config)
    return [*texts, label if isinstance(label, str) else [*label]]


def named(table: object) -> tuple[str, dict]:
    """The name of a table's file, or the kind of table that it is, and how it is to be read.

    >>> named(TableFile("data/a.csv", encoding="cp1256")), named({})[0]
    (('a.csv', {'encoding': 'cp1256', 'sheet': None}), 'dict')
    """
    if isinstance(table, TableFile):
        return table.name, {"encoding": table.encoding, "sheet": table.sheet}
    name = name_of(table) if isinstance(table, str | Path) else type(table).__name__
    return name, {"encoding": None, "sheet": None}


def call_of(
    table: object,
    columns: list,
    model: str | Path | None,
    validation: object,
    config,
    lang: str,
    options: Options = PLAIN,
) -> dict:
    """What tells one call of `finetune` from another, as far as the result depends on it.

    >>> from ftcourse.loop import TrainConfig
    >>> call_of("data/a.csv", ["text", "label"], None, 0.1, TrainConfig(), "en")["table"]
    'a.csv'
    """
    tables = {"table": table, "validation": validation}
    content = {f"{name}{CONTENT}": content_hash(one) for name, one in tables.items()} | {"usual": USUAL}
    if not isinstance(model, str | Path | None):
        raise trouble("no_model", given=model, reason=in_words("model_name", type=type(model).__name__))
    (table, how), apart = named(table), is_table(validation)
    validation = validation.item() if isinstance(validation, np.generic) else validation
    validation = dict(zip(("table", "how"), named(validation), strict=True)) if apart else validation
    model = str(Path(model).resolve()) if model and Path(model).is_dir() else model
    call = {"table": table, "columns": columns, "model": model, "validation": validation, "lang": lang}
    return call | how | vars(options) | plan_of(config) | content


def trained_on(model: object, table: object) -> bool:
    """Whether a model was trained on the very table, where its folder tells.

    >>> trained_on("nowhere", "a.csv")
    False
    """
    content = noted(Path(model) / MARK).get(f"table{CONTENT}") if isinstance(model, str | Path) else None
    return content is not None and content == content_hash(table)


def texts_of(model: object) -> list[str]:
    """The columns of texts that the model in a folder was trained with, one or two; none where that is not noted.

    >>> texts_of("nowhere")
    []
    """
    columns = noted(Path(model) / MARK).get("columns") if isinstance(model, str | Path) else None
    return columns[:-1] if isinstance(columns, list) and len(columns) in (2, 3) else []


def check_texts(model: object, given: Sequence[str]) -> None:
    """Make sure that a model gets as many texts a row as in training, where its folder tells; or a `ValueError`.

    >>> check_texts("nowhere", ["review"])
    """
    names = texts_of(model)
    if names and len(names) != len(given):
        values = {"names": ", ".join(map(repr, names)), "given": ", ".join(map(repr, given))}
        raise trouble("pairs_wanted" if len(names) == 2 else "single_wanted", **values)


def plain(config, **changes):
    """A configuration with some changes, and numbers of Python in place of those of NumPy: it can be written down.

    >>> from ftcourse.loop import TrainConfig
    >>> import numpy as np
    >>> type(plain(TrainConfig(lr=np.float64(1e-4))).lr).__name__
    'float'
    """
    config = replace(config, **changes)
    return replace(config, **{name: value.item() for name, value in vars(config).items() if hasattr(value, "item")})
