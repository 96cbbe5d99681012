"""Names of columns: how they are told where blanks and marks that nobody sees cling to them."""

import unicodedata
from collections.abc import Sequence

from ftcourse.engine.messages import trouble


def plain_name(name: object) -> str:
    """A name without blanks around it, and without characters that have no picture.

    >>> plain_name("\\u200f review\\u3000"), plain_name("\\ufefftext")
    ('review', 'text')
    """
    seen = "".join(letter for letter in str(name) if unicodedata.category(letter) not in ("Cf", "Cc") or letter == "\t")
    return unicodedata.normalize("NFC", seen).strip()


def matches(names: Sequence, wanted: str) -> list:
    """The names that are the one asked for; those that look like it, where none is it exactly.

    >>> matches([" review", "stars"], "review"), matches(["review", " review"], "review")
    ([' review'], ['review'])
    """
    exact = [name for name in names if name == wanted]
    return exact or [name for name in names if plain_name(name) == plain_name(wanted)]


def has_columns(names: Sequence, columns: Sequence[str]) -> bool:
    """Whether each of the columns is among the names.

    >>> has_columns([" review", "stars"], ["review", "stars"])
    True
    """
    return all(matches(names, column) for column in columns)


def find_header(rows: Sequence[Sequence], columns: Sequence[str]) -> tuple[int, list]:
    """The place and the cells of the first row that has all columns; where none has, of the first that is not blank.

    >>> find_header([["Our reviews"], ["review", "stars"], ["Good.", "5"]], ["review", "stars"])
    (1, ['review', 'stars'])
    """
    filled = [place for place, row in enumerate(rows) if any(cell not in (None, "") for cell in row)]
    place = next((place for place in filled if has_columns(rows[place], columns)), filled[0] if filled else 0)
    return place, [*rows[place]] if rows else []


def chosen_columns(names: Sequence, source: dict) -> list:
    """The names in a table of the columns asked for; a `ValueError` where one is missing, or there twice.

    >>> chosen_columns(["id", " review"], {"name": "a.csv", "columns": ["review"]})
    [' review']
    """
    found = [matches(names, column) for column in source["columns"]]
    listed = ", ".join(map(repr, names)) or "-"
    for column, one in zip(source["columns"], found, strict=True):
        if len(one) > 1:
            raise trouble("double_column", name=source["name"], given=column, count=len(one), columns=listed)
        if not one:
            key = "no_column" if any(found) or source["name"] == "table" else "no_header"
            raise trouble(key, name=source["name"], given=column, columns=listed)
    return [one[0] for one in found]
