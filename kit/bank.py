"""The bank: clauses of reviews, written for this course with a language model, in English, Arabic, and Chinese as
written on the mainland (Simplified) and in Taiwan (Traditional).

`kit/bank/<domain>.tsv` has the columns aspect, stars, meaning, en, ar, zh, zh-Hant. Rows that share domain, aspect,
stars and meaning are two wordings of one thought. Rows of the aspect `opening` have 0 stars: they set a scene and judge
nothing.
`python -m kit.bank [domain ...]` checks the files and prints what is wrong, a line each.
"""

import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ftcourse.kit import LANGS
from kit.near import key
from kit.tables import read_whole_table

OPENING, NUM_OPENINGS = "opening", 14
NUM_MEANINGS, NUM_WORDINGS = 5, 2
ASPECTS = {
    "restaurant": ("food", "service", "price", "atmosphere", "waiting", "cleanliness"),
    "film": ("story", "acting", "images", "music", "pace", "ending"),
}
BANK_DIR = Path(__file__).parent / "bank"
COLUMNS = ["aspect", "stars", "meaning", *LANGS]
SCRIPT = {
    "en": re.compile(r"[A-Za-z0-9 ,'’\-–%$£€/&.]+"),
    "ar": re.compile(r"[\u0621-\u0652\u0670 ،؛0-9%\-]+"),
    "zh": re.compile(r"[\u4e00-\u9fff，、“”《》0-9A-Za-z%·]+"),
    "zh-Hant": re.compile(r"[\u4e00-\u9fff，、「」《》0-9A-Za-z%· ]+"),
}
LENGTH = {"en": (2, 14), "ar": (2, 14), "zh": (3, 30), "zh-Hant": (3, 30)}  # words, words, characters, characters


@dataclass(frozen=True)
class Clause:
    """One row of the bank; `id` is its place in the bank, the same in every language."""

    id: int
    domain: str
    aspect: str
    stars: int
    meaning: int
    texts: tuple[str, ...]

    def text(self, lang: str) -> str:
        return self.texts[LANGS.index(lang)]


def read_domain(domain: str, first_id: int = 0) -> list[Clause]:
    """The rows of `kit/bank/<domain>.tsv`, in file order."""
    lines = read_whole_table(BANK_DIR / f"{domain}.tsv", COLUMNS)
    return [
        Clause(id, domain, aspect, int(stars), int(meaning), tuple(texts))
        for id, (_, (aspect, stars, meaning, *texts)) in enumerate(lines, first_id)
    ]


def read_bank(domains=tuple(ASPECTS)) -> list[Clause]:
    """All rows of the domains named, numbered through."""
    rows: list[Clause] = []
    for domain in domains:
        rows += read_domain(domain, len(rows))
    return rows


def length(text: str, lang: str) -> int:
    """Words in English and Arabic, characters in Chinese."""
    return len(text) if lang.startswith("zh") else len(text.split())


def problems(rows: list[Clause]) -> list[str]:
    """What is wrong with the rows: counts, lengths, scripts, repetitions. Empty when all is well."""
    found = []
    for domain in dict.fromkeys(row.domain for row in rows):
        counts = Counter((r.aspect, r.stars, r.meaning) for r in rows if r.domain == domain)
        wanted = {
            (aspect, stars, meaning): NUM_WORDINGS
            for aspect in ASPECTS[domain]
            for stars in range(1, 6)
            for meaning in range(1, NUM_MEANINGS + 1)
        } | {(OPENING, 0, meaning): 1 for meaning in range(1, NUM_OPENINGS + 1)}
        for level in sorted(counts.keys() | wanted.keys()):
            if counts[level] != wanted.get(level, 0):
                found.append(f"{domain} {level}: {counts[level]} rows, expected {wanted.get(level, 0)}")
    for lang in LANGS:
        seen: dict[str, Clause] = {}
        low, high = LENGTH[lang]
        for row in rows:
            text = row.text(lang)
            where = f"{row.domain} {row.aspect} {row.stars} {row.meaning} {lang}: {text!r}"
            if not SCRIPT[lang].fullmatch(text):
                found.append(f"{where} has characters of another script: {SCRIPT[lang].sub('', text)!r}")
            if not low <= length(text, lang) <= high:
                found.append(f"{where} has {length(text, lang)} words or characters, expected {low} to {high}")
            if text != text.strip() or text[-1:] in ".,،。，":
                found.append(f"{where} ends in a space or in punctuation")
            if (before := seen.setdefault(key(text), row)) is not row:
                found.append(f"{where} repeats {before.domain} {before.aspect} {before.stars}")
    return found


if __name__ == "__main__":
    bank = read_bank(tuple(sys.argv[1:]) or tuple(ASPECTS))
    lines = problems(bank)
    print("\n".join([*lines, f"{len(bank)} rows, {len(lines)} problems"]))
    sys.exit(bool(lines))
