"""Writes the kit's data sets: parquet files and dataset cards that `load_dataset(directory, "ar")` reads offline.

`python -m kit.data` rebuilds `ftcourse/assets/data`; the same bank gives the same bytes.
"""

import hashlib
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Value, disable_progress_bars

from ftcourse.kit import LANGS
from kit import natural, pairs
from kit.bank import Clause, read_bank
from kit.generate import HELD_OUT_SHARE, Review, render, reviews

ASSETS = Path(__file__).parent.parent / "ftcourse" / "assets"
STARS = ["1 star", "2 star", "3 stars", "4 stars", "5 stars"]  # the names of Yelp/yelp_review_full
FROM_BANK = {
    "reviews": {"train": 5000, "validation": 1000, "test": 1000},
    "films": {"train": 2000, "validation": 500, "test": 500},
}
SIZES = {**FROM_BANK, "pairs": pairs.SIZES, "natural": natural.SIZES}
TEXT = Value("string")
FEATURES = {
    "reviews": Features({"label": ClassLabel(names=STARS), "text": TEXT}),
    "films": Features({"label": ClassLabel(names=["neg", "pos"]), "text": TEXT}),
    "pairs": Features(
        {
            "sentence1": TEXT,
            "sentence2": TEXT,
            "label": ClassLabel(names=["not_equivalent", "equivalent"]),
            "idx": Value("int32"),
        }
    ),
    "natural": Features({"label": ClassLabel(names=STARS), "text": TEXT, "domain": TEXT, "dialect": TEXT}),
}
SUMMARIES = {
    "reviews": "Restaurant reviews with one to five stars (labels 0 to 4). Stands in for `Yelp/yelp_review_full`.",
    "films": "Film reviews, negative or positive. Stands in for `stanfordnlp/imdb` and `cornell-movie-review-data/rotten_tomatoes`.",
    "pairs": "Sentence pairs that mean the same in other words, or something else in much the same words. Stands in for the MRPC part of `nyu-mll/glue`, with its columns.",
    "natural": "Reviews of restaurants, films and things bought (column `domain`), written one by one, each language by itself, in the English, Arabic or Chinese of several places (column `dialect`). Labels as in `reviews`.",
}
CARD = """---
language: [en, ar, zh]
license: {licence}
task_categories: [{task}]
pretty_name: ftcourse {name}
configs:
{configs}
---
# {name}

{summary}

{origin}

Rows: {rows}. {languages}

```python
from datasets import load_dataset
from ftcourse.kit import Kit

{name} = load_dataset(*Kit("ar").dataset("{name}"))
```
"""
BY_MODEL = "All of it was written for this course with a language model, and collected from nobody."
ORIGINS = {
    "bank": """Put together from clauses in four languages (`kit/bank`), by seeded rules (`kit/generate.py`). The same row number means the
same text in every language. One meaning in five occurs in no training split; validation and test draw three of four clauses from those.""",
    "pairs": """Made of items (`kit/pairs`) with two meanings, worded twice each: of seven pairs four mean the same, one is the two
meanings of an item, and two have nothing to do with each other. Every item stands in one split only, and the same row number means the same in every
language, as far as life there allows.""",
    "natural": "The languages are not translations of one another.",
}


@cache
def bank() -> list[Clause]:
    return read_bank()


@cache
def plans(name: str) -> dict[str, list[Review]]:
    """The splits of a data set made of the bank, as plans."""
    taken: set = set()
    domain, verdicts = ("film", (1, 2, 4, 5)) if name == "films" else ("restaurant", (1, 2, 3, 4, 5))
    return {
        split: reviews(
            bank(), domain, verdicts, size, f"{name} {split}", 0.0 if split == "train" else HELD_OUT_SHARE, taken
        )
        for split, size in FROM_BANK[name].items()
    }


def label_of(name: str, plan: Review) -> int:
    """The label a plan was drawn for: stars from 0, or negative or positive."""
    return round(plan.verdict) - 1 if name == "reviews" else int(plan.verdict > 3)


def rows(name: str, split: str, lang: str) -> list[dict]:
    """The rows of a data set's split in a language."""
    if name == "natural":
        return [
            {"label": int(review.stars) - 1, "text": review.text, "domain": review.domain, "dialect": review.dialect}
            for review in natural.natural(lang, split)
        ]
    if name == "pairs":
        return [
            {
                "sentence1": pair.first.text(lang),
                "sentence2": pair.second.text(lang),
                "label": int(pair.same),
                "idx": idx,
            }
            for idx, pair in enumerate(pairs.pairs(split))
        ]
    return [{"label": label_of(name, plan), "text": render(plan, lang)} for plan in plans(name)[split]]


def write(name: str, directory: Path) -> None:
    """All languages and splits of a data set, and its card, into `directory`."""
    configs, counts = [], {}
    for lang in LANGS:
        for split in SIZES[name]:
            path = directory / lang / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset = Dataset.from_list(rows(name, split, lang), features=FEATURES[name])
            dataset.to_parquet(path)
            counts[split] = len(dataset)
        configs += config_lines(lang, directory / lang, counts)
    card = CARD.format(
        name=name,
        licence="apache-2.0",
        task="text-classification",
        languages="Languages: `en`, `ar`, `zh` and `zh-Hant`.",
        summary=SUMMARIES[name],
        configs="\n".join(configs),
        origin=f"{ORIGINS.get(name, ORIGINS['bank'])} {BY_MODEL}",
        rows=", ".join(f"{number:,} {split}" for split, number in counts.items()),
    )
    (directory / "README.md").write_text(card, encoding="utf-8")


def config_lines(lang: str, folder: Path, splits: Iterable[str]) -> list[str]:
    """What a card says of a language whose splits lie in a folder."""
    files, content = [], hashlib.sha256()
    for split in splits:
        content.update((folder / f"{split}.parquet").read_bytes())
        files += [f"  - split: {split}", f"    path: {folder.name}/{split}.parquet"]
    return [f"- config_name: {lang}", f"  version: {version(content)}", "  data_files:", *files]


def version(content) -> str:
    """A version number made of a hash: `datasets` keeps what it has read by name and version, and would not look again."""
    number = int(content.hexdigest()[:12], 16)
    return f"1.{number >> 24}.{number & 0xFFFFFF}"


def build(directory: Path = ASSETS / "data") -> None:
    """The data sets that have labels and text, anew; `kit/replies.py`, `kit/images.py` and `kit/speech.py` make the others."""
    disable_progress_bars()
    for name in FEATURES:
        shutil.rmtree(directory / name, ignore_errors=True)
        write(name, directory / name)


if __name__ == "__main__":
    build()
