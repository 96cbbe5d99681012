"""The package's own words, in the reader's language: one folder of JSON files a language, under `catalogues`."""

import json
import os
from functools import cache
from pathlib import Path

CATALOGUES = Path(__file__).parents[1] / "catalogues"
READER = {"lang": os.environ.get("FTCOURSE_LANG", "")}  # for what is said where nobody can hand over a language


def speak(lang: str) -> None:
    """From now on, `spoken` gives this language: that of the lesson which has begun."""
    READER["lang"] = lang


def spoken() -> str:
    """The reader's language: that of the lesson, or else of the variable `FTCOURSE_LANG`, or else English.

    >>> speak("ar")
    >>> spoken()
    'ar'
    >>> speak("")
    >>> spoken()
    'en'
    """
    return READER["lang"] if READER["lang"] and (CATALOGUES / READER["lang"]).is_dir() else "en"


@cache
def catalogue(lang: str, name: str) -> dict[str, str]:
    """The messages in the file `name`, by key; in English where the language has none yet.

    >>> sorted(catalogue("en", "common"))
    ['keras_backend', 'no_keras', 'solved', 'unsolved']
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


def trouble(lang: str, key: str, /, **values) -> ValueError:
    """The error to raise for something wrong with a call or a table, in the words of the language.

    >>> trouble("en", "empty_file", name="a.csv")
    ValueError("'a.csv' is empty; expected a table with a header and a row or more")
    """
    return ValueError(message(lang, "finetune", f"error.{key}", **values))
