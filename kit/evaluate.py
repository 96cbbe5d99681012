"""How good the kit is: the pretrained encoder next to the same network from scratch and TF-IDF with
logistic regression.

`python -m kit.evaluate` prints the tables and writes `kit/results.json`. Every network gets the same batches, steps,
learning rate and schedule.
"""

import json
import statistics
from collections.abc import Callable
from functools import cache
from multiprocessing import get_context
from pathlib import Path

from datasets import load_dataset
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, logging

from ftcourse.kit import Kit
from kit.checkpoints import MAX_LENGTH, MODELS
from kit.data import LANGS
from kit.training import classification_losses, optimize, predictions, seed_everything

RESULTS = Path(__file__).parent / "results.json"
PARTIAL = Path(__file__).parent.parent / "build" / "evaluation.json"
TEST_LANGS = ("en", "ar", "zh")
NETWORKS = ("encoder", "scratch")
NUM_LABELS, SEEDS, PAIR_SEEDS = (100, 300, 1000), (0, 1, 2), (0,)
STEPS = {100: 150, 300: 250, 1000: 400}
BATCH_SIZE = 16
LR = 5e-4
PAIRS = {"epochs": 3, "batch_size": 8, "lr": 3e-4}


@cache
def tokenizer():
    return AutoTokenizer.from_pretrained(MODELS / "encoder")


@cache
def split(name: str, lang: str, part: str) -> tuple[list, list[int]]:
    """Texts (or pairs of texts) and labels of a split."""
    dataset = load_dataset(*Kit(lang).dataset(name))[part]
    texts = (
        dataset["text"]
        if "text" in dataset.column_names
        else zip(dataset["sentence1"], dataset["sentence2"], strict=True)
    )
    return list(texts), list(dataset["label"])


def encode(texts: list) -> dict:
    if isinstance(texts[0], tuple):
        return dict(tokenizer()(*map(list, zip(*texts, strict=True)), truncation=True, max_length=MAX_LENGTH))
    return dict(tokenizer()(texts, truncation=True, max_length=MAX_LENGTH))


@cache
def encoded(name: str, lang: str, part: str) -> dict:
    return encode(split(name, lang, part)[0])


def fresh_model(kind: str, num_labels: int):
    """The encoder with a new head, or the same network from random numbers."""
    if kind == "encoder":
        return AutoModelForSequenceClassification.from_pretrained(MODELS / "encoder", num_labels=num_labels)
    config = AutoConfig.from_pretrained(MODELS / "encoder", num_labels=num_labels)
    return AutoModelForSequenceClassification.from_config(config)


def tuned(kind: str, texts: list, labels: list[int], steps: int, batch_size: int, lr: float, seed: int):
    """A model trained on texts and labels."""
    seed_everything(seed, threads=1)
    model = fresh_model(kind, max(labels) + 1)
    losses = classification_losses(model, encode(texts), labels, batch_size, seed, tokenizer().pad_token_id)
    optimize(model, losses, steps, lr)
    return model


def accuracy(predicted, labels: list[int]) -> float:
    return sum(int(p == y) for p, y in zip(predicted, labels, strict=True)) / len(labels)


def score(model, name: str, lang: str, part: str = "test") -> float:
    return accuracy(
        predictions(model, encoded(name, lang, part), tokenizer().pad_token_id).tolist(), split(name, lang, part)[1]
    )


def subset(name: str, lang: str, size: int, seed: int) -> tuple[list, list[int]]:
    """`size` training rows, as `shuffle(seed=...).select(range(size))` draws them."""
    dataset = load_dataset(*Kit(lang).dataset(name))["train"].shuffle(seed=seed).select(range(size))
    return list(dataset["text"]), list(dataset["label"])


def tfidf(lang: str, texts: list[str], labels: list[int]):
    """TF-IDF over words (characters in Chinese) and pairs of them, with logistic regression."""
    vectorizer = TfidfVectorizer(
        analyzer="char" if lang.startswith("zh") else "word", ngram_range=(1, 2), sublinear_tf=True
    )
    return make_pipeline(vectorizer, LogisticRegression(C=10, max_iter=2000)).fit(texts, labels)


def measure_reviews(lang: str, size: int, seed: int) -> dict[str, float]:
    """Accuracy of the three judges, with `size` labels, on the test sets; the encoder's also across languages."""
    texts, labels = subset("reviews", lang, size, seed)
    found = {}
    for kind in NETWORKS:
        model = tuned(kind, texts, labels, STEPS[size], BATCH_SIZE, LR, seed)
        for name in ("reviews", "natural"):
            found[f"{name} {lang} {size} {kind}"] = score(model, name, lang)
        if kind == "encoder" and size == NUM_LABELS[-1]:
            found |= {f"transfer {lang} {other}": score(model, "reviews", other) for other in TEST_LANGS}
    classic = tfidf(lang, texts, labels)
    for name in ("reviews", "natural"):
        tested, wanted = split(name, lang, "test")
        found[f"{name} {lang} {size} tfidf"] = accuracy(classic.predict(tested), wanted)
    return found


def measure_pairs(lang: str, kind: str, seed: int) -> dict[str, float]:
    """Accuracy on `pairs` after the usual three epochs at batch 8."""
    texts, labels = split("pairs", lang, "train")
    steps = PAIRS["epochs"] * -(-len(texts) // PAIRS["batch_size"])
    model = tuned(kind, texts, labels, steps, PAIRS["batch_size"], PAIRS["lr"], seed)
    return {f"pairs {lang} {kind}": score(model, "pairs", lang)}


def measure_shipped() -> dict[str, float]:
    """Accuracy of the fine-tuned checkpoints that ship."""
    found = {}
    for lang in LANGS:
        for kind, name in (("stars", "reviews"), ("stars", "natural"), ("sentiment", "films")):
            model = AutoModelForSequenceClassification.from_pretrained(MODELS / kind)
            found[f"{kind} {name} {lang}"] = score(model, name, lang)
    return found


def jobs() -> dict[str, tuple[Callable, tuple]]:
    """Everything that is measured, by name, as calls that do not depend on one another."""
    reviews = [(measure_reviews, (lang, size, seed)) for seed in SEEDS for size in NUM_LABELS for lang in TEST_LANGS]
    pairs = [(measure_pairs, (lang, kind, seed)) for seed in PAIR_SEEDS for lang in TEST_LANGS for kind in NETWORKS]
    once = len(reviews) // len(SEEDS)
    calls = [*reviews[:once], (measure_shipped, ()), *pairs, *reviews[once:]]
    return {" ".join(map(str, (function.__name__, *arguments))): (function, arguments) for function, arguments in calls}


def run(job: tuple[str, tuple[Callable, tuple]]) -> tuple[str, dict[str, float]]:
    """One call, on one thread."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    name, (function, arguments) = job
    return name, function(*arguments)


def evaluate() -> dict[str, list[float]]:
    """Everything that is measured, by name: a value a seed. Writes it to `RESULTS`.

    Two processes share the work. What is done is kept in `build/`, so that a run that was stopped goes on from there.
    """
    PARTIAL.parent.mkdir(exist_ok=True)
    done = json.loads(PARTIAL.read_text()) if PARTIAL.exists() else {}
    with get_context("spawn").Pool(2) as pool:
        for name, measured in pool.imap(run, [job for job in jobs().items() if job[0] not in done]):
            done[name] = measured
            fresh = PARTIAL.with_suffix(".new")
            fresh.write_text(json.dumps(done))
            fresh.replace(PARTIAL)
            print(f"{len(done)} of {len(jobs())}: {name}", flush=True)
    results = collected(done)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    PARTIAL.unlink()
    return results


def collected(done: dict[str, dict[str, float]]) -> dict[str, list[float]]:
    """The values of all calls, by what they measure, in the order of the calls."""
    results: dict[str, list[float]] = {}
    for name in jobs():
        for key, value in done.get(name, {}).items():
            results.setdefault(key, []).append(round(value, 4))
    return results


def mean(results: dict, key: str) -> str:
    """Mean over the seeds and, where there are several, their spread."""
    values = results.get(key)
    if not values:
        return "not measured"
    spread = f" ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def report(results: dict) -> str:
    """The tables that `kit/README.md` shows."""
    kinds = ("encoder", "scratch", "tfidf")
    parts = []
    for name in ("reviews", "natural"):
        rows = [
            [lang, str(size), *(mean(results, f"{name} {lang} {size} {kind}") for kind in kinds)]
            for lang in TEST_LANGS
            for size in NUM_LABELS
        ]
        head = [
            "language",
            "labels",
            "fine-tuned encoder",
            "same network from scratch",
            "TF-IDF and logistic regression",
        ]
        parts.append(f"Accuracy on `{name}`, five labels, up to {len(SEEDS)} seeds:\n\n" + markdown(head, rows))
    rows = [[lang, *(mean(results, f"transfer {lang} {other}") for other in TEST_LANGS)] for lang in TEST_LANGS]
    head = ["trained on", *(f"tested on {lang}" for lang in TEST_LANGS)]
    parts.append(
        "The encoder, trained on 1,000 `reviews` in one language and tested in each:\n\n" + markdown(head, rows)
    )
    rows = [[lang, *(mean(results, f"pairs {lang} {kind}") for kind in kinds[:2])] for lang in TEST_LANGS]
    parts.append(
        "Accuracy on `pairs`, 3 epochs at batch 8:\n\n"
        + markdown(["language", "fine-tuned encoder", "from scratch"], rows)
    )
    shipped = ("stars reviews", "stars natural", "sentiment films")
    rows = [[lang, *(mean(results, f"{key} {lang}") for key in shipped)] for lang in LANGS]
    parts.append("The checkpoints `stars` and `sentiment` as they ship:\n\n" + markdown(["language", *shipped], rows))
    return "\n\n".join(parts)


if __name__ == "__main__":
    print(report(evaluate()))
