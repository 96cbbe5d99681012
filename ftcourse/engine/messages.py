"""The package's own words, in the reader's language: one folder of JSON files a language, under `catalogues`. The
environment keeps which language that is, so that worker processes and commands started from here speak it, too."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

CATALOGUES = Path(__file__).parents[1] / "catalogues"
VARIABLE = "FTCOURSE_LANG"
RIGHT_TO_LEFT = ("ar",)  # languages that are written so


def language() -> str:
    """The language in which the package speaks to the reader; English until another one is chosen.

    >>> language()
    'en'
    """
    return os.environ.get(VARIABLE) or "en"


def use_language(lang: str) -> None:
    """From now on the package speaks this language.

    >>> use_language("ar")
    >>> language()
    'ar'
    """
    os.environ[VARIABLE] = lang


def suggest_language(lang: str) -> None:
    """The package speaks this language, unless one was chosen before.

    >>> suggest_language("ar")
    >>> suggest_language("zh")
    >>> language()
    'ar'
    """
    if not os.environ.get(VARIABLE):
        use_language(lang)


@contextmanager
def speaking(lang: str) -> Iterator[None]:
    """While it lasts, the package speaks this language; afterwards, the one from before.

    >>> with speaking("zh"):
    ...     language()
    'zh'
    >>> language()
    'en'
    """
    before = os.environ.get(VARIABLE, "")
    use_language(lang)
    try:
        yield
    finally:
        use_language(before)


@cache
def catalogue(lang: str, name: str) -> dict[str, str]:
    """The messages in the file `name`, by key; in English where the language has none yet.

    >>> sorted(catalogue("en", "common"))
    ['solved', 'unsolved']
    """
    path = CATALOGUES / lang / f"{name}.json"
    path = path if path.is_file() else CATALOGUES / "en" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def message(lang: str, name: str, key: str, /, **values) -> str:
    """A message with its placeholders filled in. Raises `KeyError`, naming file and key, where there is none.

    >>> message("en", "common", "solved")
    'Right.'
    """
    texts = catalogue(lang, name)
    if key not in texts:
        raise KeyError(f"no message {key!r} in the catalogue {name!r}; known: {', '.join(sorted(texts))}")
    return texts[key].format(**values)


def in_words(key: str, /, **values) -> str:
    """What is wrong, in the reader's language: the message `key` of the catalogue of errors.

    >>> in_words("empty_file", name="a.csv")
    "'a.csv' is empty; expected a table with a row or more"
    """
    return message(language(), "errors", key, **values)


def trouble(key: str, error: type[Exception] = ValueError, /, **values) -> Exception:
    """The error to raise for something that is wrong, in the reader's language.

    >>> trouble("no_file", FileNotFoundError, name="a.csv")
    FileNotFoundError("there is no file 'a.csv'; check its name, and the folder you are working in")
    """
    return error(in_words(key, **values))
