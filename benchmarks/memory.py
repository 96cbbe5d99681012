"""Peak memory of training and of predicting with 100 times the rows, each in a process of its own.

Training reads its rows from a file that is mapped into memory, in as many steps whatever the size, so that only the
rows differ; predicting takes them from a generator, 200 at a time. The network is as small as it may be, so that the
rows, and not the network, decide.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from datasets import load_from_disk
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, DataCollatorWithPadding

from benchmarks.measure import ROUNDS, compare, report
from benchmarks.points import point
from benchmarks.rows import in_parts, made_rows, write_tokens
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, train

ROWS, TIMES = 100, 100


def tiny_model(num_labels: int = 5) -> BertForSequenceClassification:
    """A network as small as it may be, for the kit's tokenizer."""
    shape = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 1, "intermediate_size": 16}
    return BertForSequenceClassification(BertConfig(vocab_size=24000, num_labels=num_labels, **shape))


def train_rows(folder: Path, epochs: int) -> None:
    collate = DataCollatorWithPadding(AutoTokenizer.from_pretrained(Kit().model("encoder")))
    config = TrainConfig(epochs=epochs, batch_size=50)
    train(tiny_model(), load_from_disk(folder), collate=collate, config=config)


def predict_rows(count: int) -> None:
    predictor = Predictor(tiny_model().eval(), AutoTokenizer.from_pretrained(Kit().model("encoder")))
    for some in in_parts((text for text, _ in made_rows(count)), ROWS):
        predictor.predict(some)


def main(rows: int = ROWS, times: int = TIMES, rounds: int = ROUNDS) -> None:
    with TemporaryDirectory() as place:
        few, many = f"{rows:,} rows", f"{times * rows:,} rows"
        folders = {few: Path(place, "few"), many: Path(place, "many")}
        for name, count in {few: rows, many: times * rows}.items():
            write_tokens(folders[name], count)
        works = {
            "train": {few: (train_rows, folders[few], times), many: (train_rows, folders[many], 1)},
            "predict": {few: (predict_rows, rows), many: (predict_rows, times * rows)},
        }

        def parts() -> Iterator[tuple[str, list[dict]]]:
            for work, sizes in works.items():
                yield work, compare(peaks(sizes, rounds), few, "megabytes")

        report("memory", parts())


def peaks(sizes: dict[str, tuple], rounds: int) -> dict[str, list[dict] | str]:
    """The peaks of each size, in each round; memory does not mind that both run at once."""
    results = {name: [] for name in sizes}
    with ThreadPoolExecutor(len(sizes)) as pool:
        for _ in range(rounds):
            found = dict(zip(sizes, pool.map(lambda size: point(*size, threads=1), sizes.values()), strict=True))
            for name, measured in found.items():
                if "note" in measured:
                    return results | {name: measured["note"]}
                results[name].append(measured)
    return results
