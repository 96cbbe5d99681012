"""Training the kit's encoder on reviews, beside all that train; `train_pairs` is the same on pairs, in `bench-long`."""

from datasets import load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

from benchmarks.measure import ROUNDS, compare, report, take_turns
from benchmarks.training import BEST, DEFAULTS, KERAS, LIMIT, NAIVE, OURS, STEPPED, Task, contestants
from ftcourse.data import subset, tokenize
from ftcourse.kit import Kit

RIVALS = [OURS, STEPPED, LIMIT, DEFAULTS, BEST, NAIVE, KERAS]


def kit_task(name: str, num_rows: int, num_valid: int, epochs: int = 1) -> Task:
    """The kit's encoder with a new head, on so many rows of one of the kit's data sets."""
    kit = Kit()
    tokenizer = AutoTokenizer.from_pretrained(kit.model("encoder"))
    splits = load_dataset(*kit.dataset(name))
    splits = {"train": subset(splits["train"], num_rows), "validation": subset(splits["validation"], num_valid)}
    columns = [column for column in splits["train"].column_names if column != "idx"]
    data = {split: tokenize(rows.select_columns(columns), tokenizer) for split, rows in splits.items()}
    num_labels = splits["train"].features["label"].num_classes

    def new_model(seed: int):
        set_seed(seed)
        return AutoModelForSequenceClassification.from_pretrained(kit.model("encoder"), num_labels=num_labels)

    return Task(new_model, tokenizer, data["train"], data["validation"], epochs)


def main(data: str = "reviews", rivals: list[str] = RIVALS, rows: int = 80, valid: int = 20, rounds: int = ROUNDS):
    results = take_turns(contestants(kit_task(data, rows, valid), rivals), rounds, beside=(NAIVE, KERAS))
    report("train" if data == "reviews" else f"train_{data}", {f"kit encoder, {rows} {data}": compare(results, OURS)})
