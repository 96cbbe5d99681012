"""What the cells of a column of labels say: one label however it is written, gaps in words, numbers in their order."""

import ast
import json
import re
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from math import isfinite

import numpy as np
import pandas as pd
from datasets import Dataset, Features, Value

from ftcourse.engine.messages import trouble
from ftcourse.engine.tables import mapped

# Characters that nobody sees: control characters, soft hyphens, marks of direction, fillers, variants of a picture.
UNSEEN = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f\u00ad\u034f\u061c\u115f\u1160\u180b-\u180f\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0]"
)
FORMS = ("<wide>", "<narrow>", "<initial>", "<medial>", "<final>", "<isolated>")  # of what is the same letter in all
POWER = re.compile(r"[+-]?[0-9]{1,18}([.,][0-9]{1,18})?[eE][+-]?[0-9]{1,2}")  # of ten, as programs write numbers
NUMBER = re.compile(r"([+-]?[0-9]{1,18})(?:(?:\.|,(?![0-9]{3}$))([0-9]{1,18}))?")
TRUTH = ("true", "false")
GAPS = ("nan", "n/a", "#n/a", "n.a.", "<na>", "nat", "null", "(null)")  # in small letters
GAPS += ("#null!", "#ref!", "#value!", "#div/0!", "#name?", "#num!")  # of formulas that could not be worked out
NOTHING = ("na", "none")  # in small letters, where labels cannot be called so
LARGEST = Decimal("3.4e38")  # in 32 bits
LIST = "["  # cells such as ["food", "price"]
BRACKETS = (("[", "]"), ("(", ")"), ("{", "}"))
QUOTED = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")(\s+(?=['"]))?""", re.S)  # and blanks before the next
SEPARATORS = (";", "|", "\uff1b", "\u061b", "\u3001", "\u060c", "\uff0c", ",", "\n")
PERHAPS = ("None", "NA", "-", "--", "\u2013", "\u2014")  # a gap beside two other labels, or else a label


def label_key(text: str) -> str:
    """What is the same for the same label, however it is written; empty where there is nothing to see.

    >>> [label_key(text) for text in ("1.0", "\uff11", " \u0661\u200f", "1.50", "TRUE", "cafe\u0301 ")]
    ['1', '1', '1', '1.5', 'true', 'caf\xe9']
    """
    if not text.isascii():
        text = "".join(
            unicodedata.normalize("NFKC", letter) if unicodedata.decomposition(letter).startswith(FORMS) else letter
            for letter in text
        )
        text = unicodedata.normalize("NFC", UNSEEN.sub("", text)).strip("\u200d").replace("\u2212", "-")
        digits = {letter: str(unicodedata.decimal(letter)) for letter in {*text} if letter.isdecimal()}
        text = "".join(digits.get(letter, letter) for letter in text).replace("\u066b", ".")
    text = " ".join(UNSEEN.sub("", text).split())
    if number := NUMBER.fullmatch(text):
        return ".".join(filter(None, (number[1], (number[2] or "").rstrip("0"))))
    return text.casefold() if text.casefold() in TRUTH else text


def number_of(text: str) -> Decimal | None:
    """The number that a label is; None where it is none.

    >>> number_of("1,5"), number_of("good"), number_of("-2"), number_of("2.3e-05")
    (Decimal('1.5'), None, Decimal('-2'), Decimal('0.000023'))
    """
    key = label_key(text)
    if not NUMBER.fullmatch(key) and not POWER.fullmatch(key):
        return None
    number = Decimal(key.replace(",", "."))
    return number if abs(number) <= LARGEST else None


def label_order(names: Sequence[str]) -> list[str]:
    """The labels' names in the order of their numbers: as numbers where all are, halves too, or else by the alphabet.

    >>> label_order(["10", "9.5", "9"]), label_order(["good", "bad"])
    (['9', '9.5', '10'], ['bad', 'good'])
    """
    numbers = {name: number_of(name) for name in names}
    if None in numbers.values():
        return sorted(names)
    return sorted(names, key=lambda name: (numbers[name], name))


def label_text(value: object) -> str | None:
    """A label as a text, None for a gap; several of them as a list in JSON. What is none of it is a `TypeError`.

    >>> label_text(4.0), label_text(True), label_text(["food", "price"]), label_text(float("nan"))
    ('4', 'True', '["food", "price"]', None)
    """
    if isinstance(value, list | tuple | set | np.ndarray):
        parts = [label_text(part) for part in (sorted(value, key=str) if isinstance(value, set) else value)]
        if any(part is None or part.startswith("[") for part in parts):
            raise TypeError(reprlib.repr(value))
        return json.dumps(parts, ensure_ascii=False)
    if value is None or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    if isinstance(value, str | bool | np.bool_ | int | np.integer):
        return str(value)
    if isinstance(value, Decimal) and value.is_finite():
        return f"{value.normalize():f}"
    if isinstance(value, float | np.floating) and isfinite(value):
        return str(int(value)) if float(value).is_integer() else f"{value:.12g}"
    raise TypeError(reprlib.repr(value))


def named_label(value: object, names: Sequence[str]) -> object:
    """A label, or a list of them, with the name in place of its number, None in place of a number below 0.

    >>> named_label(1, ["bad", "good"]), named_label([0, 1], ["bad", "good"]), named_label(-1, ["bad", "good"])
    ('good', ['bad', 'good'], None)
    """
    if isinstance(value, list):
        return [named_label(part, names) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if value >= 0 else None
    return value


def label_texts(batch: dict, rows: Sequence[int], columns: Sequence[str], name: str, names: dict) -> dict[str, list]:
    """Columns of labels as texts. A `ValueError` names table, row (counted from 1) and column of what is no label.

    >>> label_texts({"stars": [4.5, None]}, [0, 1], ["stars"], "table", {})
    {'stars': ['4.5', None]}
    """
    found = {}
    for column in columns:
        known, texts = names.get(column), []
        for row, value in zip(rows, batch[column], strict=True):
            try:
                texts.append(label_text(named_label(value, known) if known else value))
            except TypeError as error:
                raise trouble("label_cell", name=name, row=row + 1, column=column, given=error) from None
        found[column] = texts
    return found


def with_label_texts(
    table: Dataset | pd.DataFrame, source: dict, labels: Sequence[str], cache_dir: str = ""
) -> Dataset | pd.DataFrame:
    """The table with its columns of labels as texts.

    >>> source = {"name": "table", "columns": ["review", "stars"]}
    >>> with_label_texts(pd.DataFrame({"review": ["Good."], "stars": [4.5]}), source, ["stars"])["stars"].tolist()
    ['4.5']
    """
    columns = source["columns"]
    options = {"columns": [*labels], "name": source["name"], "names": {}}
    if isinstance(table, pd.DataFrame):
        texts = label_texts(table, range(len(table)), **options)
        series = {name: pd.Series(values, table.index, dtype=object) for name, values in texts.items()}
        return table[[*columns]].assign(**series)
    table = table.with_format(None).select_columns([*columns])
    kinds = {label: getattr(table.features[label], "dtype", None) for label in labels}
    options["columns"] = [label for label in labels if kinds[label] != "string"]
    kinds = {label: getattr(table.features[label], "feature", table.features[label]) for label in labels}
    options["names"] = {label: getattr(kind, "names", None) for label, kind in kinds.items()}
    if not options["columns"]:
        return table
    features = Features({**table.features, **dict.fromkeys(options["columns"], Value("string"))})
    return mapped(table, label_texts, cache_dir, with_indices=True, fn_kwargs=options, features=features)


def shown(text: str) -> str:
    """A spelling in quotes, with what nobody sees in it as a code.

    >>> shown("good\u200f")
    "'good\\\\u200f'"
    """
    plain = unicodedata.normalize("NFC", text) == text
    hidden = {letter for letter in text if UNSEEN.match(letter) or (letter.isspace() and letter != " ")}
    hidden |= {letter for letter in text if not plain and unicodedata.combining(letter)}
    return "'" + "".join(ascii(letter)[1:-1] if letter in hidden else letter for letter in text) + "'"


def first(texts: Iterable[str], between: str = ", ", most: int = 6) -> str:
    """The first of the texts in a row, with an ellipsis where there are more.

    >>> first("abc", most=2)
    'a, b…'
    """
    texts = [*texts]
    return between.join(texts[:most]) + ("\u2026" if texts[most:] else "")


def listed(counts: dict[str, int]) -> str:
    """Spellings with how many rows have each, the most frequent ones first.

    >>> listed({"1": 2, "1.0": 9})
    "'1.0' (9), '1' (2)"
    """
    ordered = sorted(counts, key=lambda text: -counts[text])
    return first(f"{shown(text)} ({counts[text]})" for text in ordered)


def tidy(text: str) -> str:
    """A spelling without blanks and marks around it, and a whole number without zeros behind it.

    >>> tidy(" 4.0\\n"), tidy("very  good\u200f")
    ('4', 'very good')
    """
    text = unicodedata.normalize("NFC", " ".join(UNSEEN.sub("", text).split()).strip("\u200d"))
    return re.sub(r"^([+-]?\d+)[.\u066b]0+$", r"\1", text)


def is_gap(key: str, keys: Sequence[str]) -> bool:
    """Whether a key only says that there is no label; `keys` are those of all labels.

    >>> is_gap("nan", ["nan", "good"]), is_gap("None", ["None", "spam"]), is_gap("-", ["-", "+", "0"])
    (True, False, False)
    """
    if key in PERHAPS:
        others = [other for other in keys if other not in PERHAPS and other.casefold() not in GAPS]
        return len(others) >= 2 and "+" not in others
    return not key or key.casefold() in GAPS


def note(key: str, **values) -> dict:
    """Something about the labels that the report says: the message `note.{key}`, and what goes into it."""
    return {"key": key, **values}


def join_labels(
    names: Sequence[str], counts: Sequence[int], known: Iterable[str] = ()
) -> tuple[np.ndarray, list[str], list[dict]]:
    """For each spelling the number of its label (-1: a gap), the labels by number, and what is to be said about it.

    `counts` says how many rows have each spelling; a label is called by the one that most have. No key among those
    `known` is a gap.

    >>> numbers, names, notes = join_labels(["1", "1.0", "nan", "2"], [1, 3, 2, 4])
    >>> numbers.tolist(), names, [entry["key"] for entry in notes]
    ([0, 0, -1, 1], ['1', '2'], ['joined', 'gaps'])
    """
    keys, groups = [label_key(name) for name in names], {}
    for number, key in enumerate(keys):
        groups.setdefault(key, []).append(number)
    every = [*groups]
    gaps = {key for key in every if is_gap(key, every)}
    joined, numbers, notes = [], np.full(len(names), -1), []
    gaps -= {*known}
    for key, group in groups.items():
        if key not in gaps:
            numbers[group] = len(joined)
            joined.append(tidy(names[max(group, key=lambda number: counts[number])]))
    many = {key: group for key, group in groups.items() if key not in gaps and len(group) > 1}
    spellings = [listed({names[number]: int(counts[number]) for number in group}) for group in many.values()]
    if many:
        called = [shown(joined[numbers[group[0]]]) for group in many.values()]
        pairs = [f"{called} = {how}" for called, how in zip(called, spellings, strict=True)]
        notes.append(note("joined", labels=first(pairs, "; ")))
    said = {names[number]: int(counts[number]) for key in gaps for number in groups[key]}
    if said:
        notes.append(note("gaps", rows=sum(said.values()), words=listed(said)))
    return numbers, joined, notes + suspicions(joined)


def suspicions(names: Sequence[str]) -> list[dict]:
    """What looks wrong about labels and was left as it is: a word for a gap, names that differ in capitals only.

    >>> suspicions(["good", "Good", "None"])
    [{'key': 'capitals', 'labels': "'good', 'Good'"}, {'key': 'gap_label', 'label': 'None'}]
    """
    alike = {}
    for name in names:
        alike.setdefault(name.casefold(), []).append(name)
    pairs = [", ".join(map(shown, group)) for group in alike.values() if len(group) > 1]
    found = [note("capitals", labels=first(pairs, "; "))] if pairs else []
    several = [
        name for name in names if name[:1] == LIST or any(len(cell_parts(name, mark) or ()) > 1 for mark in ";|")
    ]
    found += [note("joint", labels=first(map(shown, several)))] if several else []
    return found + [note("gap_label", label=name) for name in names if name in PERHAPS]


def python_list(text: str) -> list | tuple | set:
    """What is in a list, a tuple or a set as Python writes it, or in an array of texts as NumPy does, without commas.

    >>> python_list("['food' 'price']"), python_list("{'price', 'food'}")
    (['food', 'price'], ['food', 'price'])
    """
    found = ast.literal_eval(QUOTED.sub(lambda part: f"{part[1]}, " if part[2] else part[1], text))
    if not isinstance(found, list | tuple | set):
        raise TypeError(text)
    if isinstance(found, tuple) and found and {*map(type, found)} <= {int, float}:
        raise TypeError(text)  # a range, or a place: one label
    return sorted(found, key=str) if isinstance(found, set) else [*found]


def cell_parts(text: str, separator: str) -> list[str] | None:
    """The labels in a cell: those of a list in JSON or Python, or what stands between separators; None for a bad list.

    >>> cell_parts('["food", 2]', "["), cell_parts("food; price;", ";"), cell_parts("[]", ";"), cell_parts("[1", "[")
    (['food', '2'], ['food', 'price'], [], None)
    """
    text = text.strip()
    if (text[:1], text[-1:]) in BRACKETS:
        for read in (json.loads, python_list) if text[0] == LIST else (python_list,):
            try:
                parts = [label_text(part) for part in read(text)]
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                continue
            return None if None in parts else [part for part in parts if label_key(part)]
    if separator == LIST:
        return None
    return [part.strip() for part in text.split(separator) if label_key(part)]


def cell_separator(names: Sequence[str]) -> str | None:
    """What stands between several labels in a cell, "[" for lists; None where each of the `names` is one label.

    A character separates labels where half of the parts or more stand in other cells, too, in another company.

    >>> cell_separator(["food", "food;service", "service"]), cell_separator(["[]", '["a"]']), cell_separator(["a, b"])
    (';', '[', None)
    """
    cells = [name for name in names if not is_gap(label_key(name), ())]
    if cells and all(cell_parts(cell, LIST) is not None for cell in cells):
        return LIST
    for separator in SEPARATORS:
        parts = [frozenset(map(label_key, cell_parts(cell, separator) or [cell])) for cell in cells]
        several = {part for cell in parts if len(cell) > 1 for part in cell}
        if separator in ",\uff0c" and all(number_of(part) is not None for part in several):
            several = several if any(len(cell) > 2 for cell in parts) else set()
        held = Counter(part for cell in {*parts} for part in cell)
        if several and 2 * sum(held[part] > 1 for part in several) >= len(several) and len(held) <= len({*parts}):
            return separator
    return None


def number_values(names: Sequence[str], counts: Sequence[int], source: dict) -> tuple[np.ndarray, list[dict]]:
    """The number that each spelling means, NaN for a gap, and what is to be said; a `ValueError` names what is none.

    >>> number_values(["1,5", "nan"], [1, 2], {"name": "table", "columns": ["text", "stars"]})[0]
    array([1.5, nan])
    """
    keys = {name: label_key(name) for name in names}
    every, values, gaps = [*{*keys.values()}], np.full(len(names), np.nan), {}
    for place, (name, key) in enumerate(keys.items()):
        number = number_of(key)
        if number is not None:
            values[place] = float(number)
        elif is_gap(key, every):
            gaps[name] = int(counts[place])
        else:
            raise trouble("no_number", name=source["name"], column=source["columns"][-1], given=shown(name))
    return values, [note("gaps", rows=sum(gaps.values()), words=listed(gaps))] if gaps else []
