"""Peak memory of training and of predicting as the rows grow: each size in a process of its own.

Training reads its rows from a file that is mapped into memory, in as many steps whatever the size, so that only the
rows differ; predicting takes them from a generator, 500 at a time. The network is as small as it may be, so that the
rows, and not the network, decide.
"""

import json
import re
import resource
import subprocess
import sys
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import report

ROWS = 500
GROWTH = (1, 10, 100)


def new_model():
    from transformers import BertConfig, BertForSequenceClassification

    shape = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 1, "intermediate_size": 16}
    return BertForSequenceClassification(BertConfig(vocab_size=10000, num_labels=5, **shape))


def write_rows(folder: Path, num_rows: int) -> None:
    """Tokenized reviews, over and over, as files; in a process of its own, so that its memory does not count."""
    from datasets import concatenate_datasets, load_dataset
    from transformers import AutoTokenizer

    from ftcourse.data import tokenize
    from ftcourse.kit import Kit

    kit = Kit()
    some = load_dataset(*kit.dataset("reviews"), split="train").select(range(ROWS))
    data = tokenize(some, AutoTokenizer.from_pretrained(kit.model("encoder")))
    concatenate_datasets([data] * (num_rows // ROWS)).save_to_disk(folder)


def train_rows(folder: Path, num_rows: int) -> None:
    from datasets import load_from_disk
    from transformers import AutoTokenizer, DataCollatorWithPadding

    from ftcourse.kit import Kit
    from ftcourse.loop import TrainConfig, train

    collate = DataCollatorWithPadding(AutoTokenizer.from_pretrained(Kit().model("encoder")))
    config = TrainConfig(epochs=GROWTH[-1] * ROWS // num_rows, batch_size=50)
    train(new_model(), load_from_disk(folder), collate=collate, config=config)


def predict_rows(folder: Path, num_rows: int) -> None:
    from datasets import load_dataset
    from transformers import AutoTokenizer

    from ftcourse.inference import Predictor
    from ftcourse.kit import Kit

    kit = Kit()
    reviews = load_dataset(*kit.dataset("reviews"), split="train", streaming=True)
    texts = (row["text"] for _ in range(num_rows // ROWS) for row in islice(reviews, ROWS))
    predictor = Predictor(new_model(), AutoTokenizer.from_pretrained(kit.model("encoder")))
    while some := list(islice(texts, ROWS)):
        predictor.predict(some)


WORKS = {"write": write_rows, "train": train_rows, "predict": predict_rows}


def own_peak() -> float:
    """Peak of this process in megabytes. Linux counts in `ru_maxrss` what the parent had, so it is asked otherwise."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def peak_megabytes(work: str, folder: Path, num_rows: int) -> float:
    command = [sys.executable, "-m", "benchmarks.memory", work, str(folder), str(num_rows)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def main() -> None:
    parts = {}
    with TemporaryDirectory() as folder:
        for growth in GROWTH:
            peak_megabytes("write", Path(folder, str(growth)), growth * ROWS)
        for work in ("train", "predict"):
            peaks = [peak_megabytes(work, Path(folder, str(growth)), growth * ROWS) for growth in GROWTH]
            parts[work] = [
                {"name": f"{growth * ROWS:,} rows", "megabytes": peak, "ratio": peak / peaks[0]}
                for growth, peak in zip(GROWTH, peaks, strict=True)
            ]
    report("memory", parts)


if __name__ == "__main__":
    WORKS[sys.argv[1]](Path(sys.argv[2]), int(sys.argv[3]))
    print(json.dumps(own_peak()))
