"""How seconds and memory grow with the work: rows, length of the texts, number of labels, threads. Each point has a
process of its own, and is measured once; `growth_long` has the points that take minutes."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from datasets import Dataset, load_from_disk
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

from benchmarks.measure import report
from benchmarks.memory import tiny_model
from benchmarks.points import point
from benchmarks.rows import in_parts, made_rows, write_table, write_tokens
from ftcourse.engine.cleaning import prepare
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, train

SHORT = {"rows": (1_000, 10_000), "tokens": (32, 128, 512), "labels": (2, 5_000), "threads": (1, 2)}
LONG = {"rows": (100_000, 1_000_000, 5_000_000), "tokens": (16, 64, 256), "labels": (50, 500), "threads": (4, 8, 16)}
PATIENCE = 3600  # seconds a point


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def tokenizer_of_kit():
    return AutoTokenizer.from_pretrained(Kit().model("encoder"))


def clean_table(file: Path, folder: Path) -> float:
    """Reading, cleaning and splitting a table of texts and labels, as `finetune` does."""
    return timed(lambda: prepare(str(file), ["text", "label"], "en", 0.1, 0, str(folder)))


def train_table(folder: Path) -> float:
    """One epoch of a tiny network: what is left is what the rows cost."""
    collate, config = DataCollatorWithPadding(tokenizer_of_kit()), TrainConfig(epochs=1, batch_size=64)
    return timed(lambda: train(tiny_model(), load_from_disk(folder), collate=collate, config=config))


def predict_table(count: int) -> float:
    """Answers of a tiny network for texts from a generator, 10,000 at a time."""
    predictor = Predictor(tiny_model().eval(), tokenizer_of_kit())
    parts = in_parts((text for text, _ in made_rows(count)), 10_000)
    return timed(lambda: [predictor.predict(some) for some in parts] and None)


def encoder(num_labels: int = 5):
    return AutoModelForSequenceClassification.from_pretrained(Kit().model("encoder"), num_labels=num_labels)


def train_network(rows: int, tokens: int, labels: int = 5) -> float:
    """Seconds for 1,000 rows of so many tokens in training the kit's encoder, in float32, after a step to warm up."""
    ids = np.random.default_rng(0).integers(10, 24_000, (rows, tokens)).tolist()
    data = Dataset.from_dict({"input_ids": ids, "labels": [number % labels for number in range(rows)]})
    model, collate = encoder(labels), DataCollatorWithPadding(tokenizer_of_kit())
    config = TrainConfig(epochs=1, batch_size=16, precision="no")
    train(model, data.select(range(min(4, rows))), collate=collate, config=config)
    return 1000 / rows * timed(lambda: train(model, data, collate=collate, config=config))


def predict_network(rows: int, tokens: int, labels: int = 5) -> float:
    """Seconds for 1,000 texts of so many tokens with the kit's encoder, in float32, after some to warm up."""
    predictor = Predictor(encoder(labels).eval(), tokenizer_of_kit(), max_length=tokens)
    texts = [" ".join(["food"] * tokens)] * rows
    predictor.predict(texts[:4])
    return 1000 / rows * timed(lambda: predictor.predict(texts))


def curves(ranges: dict[str, tuple[int, ...]], place: Path) -> Iterator[tuple[str, str, int, tuple, int | None]]:
    """All points, the longest last: what grows, the work, how much, the function with its arguments and the threads."""
    for tokens in ranges["tokens"]:
        count = max(16, 4096 // tokens)
        yield "tokens", "train", tokens, (train_network, count, tokens), None
        yield "tokens", "predict", tokens, (predict_network, 2 * count, tokens), None
    for labels in ranges["labels"]:
        yield "labels", "train", labels, (train_network, 64, 40, labels), None
        yield "labels", "predict", labels, (predict_network, 128, 40, labels), None
    for threads in ranges["threads"]:
        if threads <= (os.cpu_count() or 1):
            yield "threads", "train", threads, (train_network, 64, 40), threads
            yield "threads", "predict", threads, (predict_network, 128, 40), threads
    for rows in ranges["rows"]:
        table, folder, cache = place / f"{rows}.csv", place / f"{rows}", place / f"{rows}.cache"
        point(write_table, table, rows, patience=PATIENCE)  # elsewhere, so that its memory does not count
        yield "rows", "clean", rows, (clean_table, table, cache), None
        table.unlink(missing_ok=True)
        point(write_tokens, folder, rows, patience=PATIENCE)
        yield "rows", "train", rows, (train_table, folder), None
        yield "rows", "predict", rows, (predict_table, rows), None


def main(ranges: dict[str, tuple[int, ...]] = SHORT, name: str = "growth") -> None:
    found = {axis: [] for axis in ranges}

    def parts() -> Iterator[tuple[str, list[dict]]]:
        with TemporaryDirectory() as place:
            for axis, work, amount, call, threads in curves(ranges, Path(place)):
                measured = point(*call, threads=threads, patience=PATIENCE)
                row = {"name": f"{work}, {amount:,} {axis}", "work": work, "amount": amount, **measured}
                found[axis].append(row)
                yield axis, found[axis]

    report(name, parts())
