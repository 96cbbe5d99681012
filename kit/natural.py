"""The reviews that were written one by one, each language by itself: `kit/natural/<lang>.tsv`.

The columns are split, stars, domain, dialect and text. `python -m kit.natural` checks the files and prints what is
wrong, a line each.
"""

import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ftcourse.kit import LANGS
from kit.near import key, near_copies
from kit.tables import read_table, read_whole_table

FOLDER = Path(__file__).parent / "natural"
COLUMNS = ["split", "stars", "domain", "dialect", "text"]
STARS = ("1", "2", "3", "4", "5")
SIZES = {"train": 300, "validation": 100, "test": 200}  # in each language, a fifth of them a star
DOMAINS = ("restaurant", "film", "product")
DIALECTS = {
    "en": ("American", "Australian", "British", "Canadian", "Indian", "Irish", "Nigerian", "South African"),
    "ar": ("Egyptian", "Gulf", "Levantine", "MSA"),
    "zh": ("Mainland",),
    "zh-Hant": ("Taiwan",),
}


@dataclass(frozen=True)
class Review:
    """One line of a file, and where it stands."""

    where: str
    split: str
    stars: str
    domain: str
    dialect: str
    text: str


def problems(path: Path) -> list[str]:
    """What is wrong with the file of a language, each with file and line. Empty when all is well."""
    lang = path.stem
    whole, found = read_table(path, COLUMNS)
    if found and not whole:
        return found
    reviews = [Review(where, *fields) for where, fields in whole]
    known = {"split": tuple(SIZES), "stars": STARS, "domain": DOMAINS, "dialect": DIALECTS[lang]}
    first: dict[str, Review] = {}
    for review in reviews:
        for column, values in known.items():
            if (given := getattr(review, column)) not in values:
                found.append(f"{review.where}: unknown {column} {given!r}; known: {', '.join(values)}")
        if (before := first.setdefault(key(review.text), review)) is not review:
            found.append(f"{review.where}: the text stands in {before.where} too ({before.split})")
    where = {review.text: review.where for review in reviews}
    for one, other in near_copies(list(where), lang):
        found.append(f"{where[other]}: nearly the same text as {where[one]}")
    counts = Counter((review.split, review.stars) for review in reviews)
    for split, size in SIZES.items():
        for stars in STARS:
            if (number := counts[split, stars]) != size // len(STARS):
                found.append(
                    f"{path.name}: {number} reviews with {stars} stars in {split}, expected {size // len(STARS)}"
                )
    return found


@cache
def natural(lang: str, split: str) -> list[Review]:
    """The reviews of a language's split, in the order of the file. A line that is none is a `ValueError`."""
    reviews = (Review(where, *fields) for where, fields in read_whole_table(FOLDER / f"{lang}.tsv", COLUMNS))
    return [review for review in reviews if review.split == split]


if __name__ == "__main__":
    lines = [line for lang in LANGS for line in problems(FOLDER / f"{lang}.tsv")]
    print("\n".join([*lines, f"{len(LANGS)} files, {len(lines)} problems"]))
    sys.exit(bool(lines))
