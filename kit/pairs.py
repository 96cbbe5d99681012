"""Sentence pairs that mean the same or not: items of `kit/pairs/*.tsv`, each with two meanings, `a` and `b`.

`a1` and `b1` have nearly the same words and another meaning; `a2` and `b2` say what they say in other words. Of seven
pairs four mean the same, one is the two meanings of an item, and two have nothing to do with each other: so neither
many words in common nor few are a sign. The columns are item, kind, wording, and the languages. `python -m kit.pairs`
checks the files and prints what is wrong, a line each.
"""

import random
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ftcourse.kit import LANGS
from kit.near import key
from kit.tables import read_table, read_whole_table

FOLDER = Path(__file__).parent / "pairs"
COLUMNS = ["item", "kind", "wording", *LANGS]
WORDINGS = ("a1", "a2", "b1", "b2")
KINDS = ("negation", "role", "number", "degree", "order", "comparison", "quantity", "direction", "cause")
# An item stands in one split only. There are 3,668 pairs to train on, as in MRPC.
ITEMS = {"train": 524, "validation": 20, "test": 56}
SAME = (("a1", "a2"), ("a2", "a1"), ("b1", "b2"), ("b2", "b1"))
TWISTED = (("a1", "b1"), ("a2", "b2"))  # one of them, in an order that is drawn
UNRELATED = 2
SIZES = {split: number * (len(SAME) + 1 + UNRELATED) for split, number in ITEMS.items()}


@dataclass(frozen=True)
class Sentence:
    """One line of a file, and where it stands."""

    where: str
    item: str
    kind: str
    wording: str
    texts: tuple[str, ...]

    @classmethod
    def of_line(cls, where: str, fields: list[str]) -> "Sentence":
        return cls(where, *fields[:3], tuple(fields[3:]))

    def text(self, lang: str) -> str:
        return self.texts[LANGS.index(lang)]


@dataclass(frozen=True)
class Pair:
    """Two sentences, and whether they mean the same."""

    first: Sentence
    second: Sentence
    same: bool


def problems(paths: list[Path]) -> list[str]:
    """What is wrong with the files, each with file and line. Empty when all is well."""
    found, seen, wordings = [], {}, defaultdict(list)
    for path in paths:
        whole, wrong = read_table(path, COLUMNS)
        found += wrong
        for sentence in (Sentence.of_line(where, fields) for where, fields in whole):
            wordings[sentence.item].append(sentence)
            for column, known in (("kind", KINDS), ("wording", WORDINGS)):
                if (given := getattr(sentence, column)) not in known:
                    found.append(f"{sentence.where}: unknown {column} {given!r}; known: {', '.join(known)}")
            for lang in LANGS:
                before = seen.setdefault((lang, key(sentence.text(lang))), sentence)
                if before is not sentence:
                    found.append(f"{sentence.where}: the {lang} text stands in {before.where} too")
    for item, group in wordings.items():
        if sorted(s.wording for s in group) != list(WORDINGS) or len({s.kind for s in group}) != 1:
            found.append(f"{group[0].where}: item {item} needs the wordings {', '.join(WORDINGS)} of one kind")
    if len(wordings) != sum(ITEMS.values()):
        found.append(f"{len(wordings)} items, expected {sum(ITEMS.values())}")
    return found


@cache
def items() -> list[dict[str, Sentence]]:
    """All items, by wording, in the order of the files. A line that is not whole is a `ValueError`."""
    found: dict[str, dict[str, Sentence]] = {}
    for path in sorted(FOLDER.glob("*.tsv")):
        for where, fields in read_whole_table(path, COLUMNS):
            sentence = Sentence.of_line(where, fields)
            found.setdefault(sentence.item, {})[sentence.wording] = sentence
    return list(found.values())


def drawn(rng: random.Random, first: Sentence, second: Sentence) -> Pair:
    """Two sentences that differ in meaning, in an order that is drawn."""
    return Pair(*rng.sample((first, second), 2), False)


@cache
def pairs(split: str) -> list[Pair]:
    """The pairs of a split, shuffled."""
    order = list(range(len(items())))
    random.Random("items").shuffle(order)
    start = sum(number for name, number in ITEMS.items() if list(ITEMS).index(name) < list(ITEMS).index(split))
    chosen = [items()[i] for i in order[start : start + ITEMS[split]]]
    rng, made = random.Random(f"pairs {split}"), []
    for item in chosen:
        made += [Pair(item[first], item[second], True) for first, second in SAME]
        made.append(drawn(rng, *(item[wording] for wording in rng.choice(TWISTED))))
        for wording in rng.sample(WORDINGS, UNRELATED):
            other = rng.choice([other for other in chosen if other is not item])
            made.append(drawn(rng, item[wording], other[rng.choice(WORDINGS)]))
    rng.shuffle(made)
    return made


if __name__ == "__main__":
    files = sorted(FOLDER.glob("*.tsv"))
    lines = problems(files)
    counts = Counter(sentence.kind for item in items() for sentence in list(item.values())[:1])
    print("\n".join([*lines, f"{len(items())} items ({dict(counts)}), {len(lines)} problems"]))
    sys.exit(bool(lines))
