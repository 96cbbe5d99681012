"""Writes the kit's data sets: parquet files and dataset cards that `load_dataset(directory, "ar")` reads offline.

`python -m kit.data` rebuilds `ftcourse/assets/data`; the same bank gives the same bytes.
"""

import csv
import hashlib
import shutil
from functools import cache
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, Value, disable_progress_bars

from kit.bank import Clause, read_bank
from kit.generate import HELD_OUT_SHARE, TARGET_DOMAINS, pairs, render, reviews
from tools.conversion import converter

ASSETS = Path(__file__).parent.parent / "ftcourse" / "assets"
CORRECTIONS = Path(__file__).parent / "s2twp.tsv"  # what OpenCC gets wrong in the kit's texts
LANGS = ("en", "ar", "zh", "zh-Hant")
STARS = ["1 star", "2 star", "3 stars", "4 stars", "5 stars"]  # the names of Yelp/yelp_review_full
SIZES = {
    "reviews": {"train": 5000, "validation": 1000, "test": 1000},
    "films": {"train": 2000, "validation": 500, "test": 500},
    "pairs": {"train": 3668, "validation": 408, "test": 1725},
}
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
    "natural": Features({"label": ClassLabel(names=STARS), "text": TEXT}),
}
SUMMARIES = {
    "reviews": "Restaurant reviews with one to five stars (labels 0 to 4). Stands in for `Yelp/yelp_review_full`.",
    "films": "Film reviews, negative or positive. Stands in for `stanfordnlp/imdb` and `cornell-movie-review-data/rotten_tomatoes`.",
    "pairs": "Sentence pairs from restaurant and film reviews: the same meaning or not. Stands in for the MRPC part of `nyu-mll/glue`, with its sizes and columns.",
    "natural": "Restaurant reviews written one by one, without the bank, each language by itself: the harder test. Labels as in `reviews`.",
}
CARD = """---
language: [en, ar, zh]
license: apache-2.0
task_categories: [text-classification]
pretty_name: ftcourse {name}
configs:
{configs}
---
# {name}

{summary}

{origin}
Rows: {rows}. Languages: `en`, `ar`, `zh` and `zh-Hant` (derived from `zh` by OpenCC, `s2twp`, with a list of corrections).

```python
from datasets import load_dataset
from ftcourse.kit import Kit

{name} = load_dataset(*Kit("ar").dataset("{name}"))
```
"""
GENERATED = """Put together from clauses in three languages (`kit/bank`), by seeded rules (`kit/generate.py`). The same row number means the
same text in every language. One meaning in five occurs in no training split; validation and test draw three of four clauses from those.
All of it was written for this course with a language model, and collected from nobody.
"""
WRITTEN = "The languages are not translations of one another. All of it was written for this course with a language model, and collected from nobody.\n"


@cache
def bank() -> list[Clause]:
    return read_bank()


def in_language(text, lang: str) -> str:
    """`text` is a function from a bank language to a string; Traditional Chinese is derived from Simplified."""
    return converter("s2twp", CORRECTIONS)(text("zh")) if lang == "zh-Hant" else text(lang)


@cache
def plans(name: str) -> dict[str, list]:
    """The splits of a generated data set as plans, with the labels they were drawn for."""
    taken: set = set()
    made = {}
    for split, size in SIZES[name].items():
        unseen = 0.0 if split == "train" else HELD_OUT_SHARE
        seed = f"{name} {split}"
        if name == "pairs":
            made[split] = pairs(bank(), TARGET_DOMAINS, size, seed, unseen, taken)
        elif name == "films":
            made[split] = reviews(bank(), "film", (1, 2, 4, 5), size, seed, unseen, taken)
        else:
            made[split] = reviews(bank(), "restaurant", (1, 2, 3, 4, 5), size, seed, unseen, taken)
    return made


def label_of(name: str, plan) -> int:
    """The label a plan was drawn for: stars from 0, negative or positive, same meaning or not."""
    if name == "pairs":
        return int(plan.same)
    return round(plan.verdict) - 1 if name == "reviews" else int(plan.verdict > 3)


def rows(name: str, split: str, lang: str) -> list[dict]:
    """The rows of a data set's split in a language."""
    if name == "natural":
        return natural(lang)
    found = []
    for idx, plan in enumerate(plans(name)[split]):
        row = {"label": label_of(name, plan)}
        if name == "pairs":
            row["sentence1"] = in_language(lambda lg, p=plan: render(p.first, lg), lang)
            row["sentence2"] = in_language(lambda lg, p=plan: render(p.second, lg), lang)
            row["idx"] = idx
        else:
            row["text"] = in_language(lambda lg, p=plan: render(p, lg), lang)
        found.append(row)
    return found


def natural(lang: str) -> list[dict]:
    """The reviews of `kit/natural/<lang>.tsv`."""

    def read(source: str) -> list[dict]:
        with open(Path(__file__).parent / "natural" / f"{source}.tsv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))

    return [
        {"label": int(row["stars"]) - 1, "text": in_language(lambda _, r=row: r["text"], lang)}
        for row in read(lang.removesuffix("-Hant"))
    ]


def splits(name: str) -> tuple[str, ...]:
    return tuple(SIZES.get(name, {"test": 0}))


def write(name: str, directory: Path) -> None:
    """All languages and splits of a data set, and its card, into `directory`."""
    configs, counts = [], {}
    for lang in LANGS:
        files, content = [], hashlib.sha256()
        for split in splits(name):
            path = directory / lang / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset = Dataset.from_list(rows(name, split, lang), features=FEATURES[name])
            dataset.to_parquet(path)
            content.update(path.read_bytes())
            files += [f"  - split: {split}", f"    path: {lang}/{split}.parquet"]
            counts[split] = len(dataset)
        configs += [f"- config_name: {lang}", f"  version: {version(content)}", "  data_files:", *files]
    card = CARD.format(
        name=name,
        summary=SUMMARIES[name],
        configs="\n".join(configs),
        origin=WRITTEN if name == "natural" else GENERATED,
        rows=", ".join(f"{number:,} {split}" for split, number in counts.items()),
    )
    (directory / "README.md").write_text(card, encoding="utf-8")


def version(content) -> str:
    """A version number made of a hash: `datasets` keeps what it has read by name and version, and would not look again."""
    number = int(content.hexdigest()[:12], 16)
    return f"1.{number >> 24}.{number & 0xFFFFFF}"


def build(directory: Path = ASSETS / "data") -> None:
    """All data sets, anew."""
    disable_progress_bars()
    shutil.rmtree(directory, ignore_errors=True)
    for name in FEATURES:
        write(name, directory / name)


if __name__ == "__main__":
    build()
