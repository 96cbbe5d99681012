"""Training the kit's encoder on reviews and on pairs."""

from datasets import load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, set_seed

from benchmarks.measure import compare, report, take_turns
from benchmarks.training import CONTESTANTS, RECIPE, Task, contestants
from ftcourse.data import subset, tokenize
from ftcourse.kit import Kit


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


def main() -> None:
    parts, rivals = {}, [rival for rival in CONTESTANTS if rival != RECIPE]
    for name in ("reviews", "pairs"):
        results = take_turns(contestants(kit_task(name, num_rows=480, num_valid=120), rivals), rounds=3)
        parts[f"{name}, 480 rows"] = compare(results, "ftcourse")
    task = kit_task("reviews", num_rows=1000, num_valid=1000, epochs=3)
    results = take_turns(contestants(task, ["ftcourse", "Trainer, defaults"]), rounds=3)
    parts["reviews, 1,000 rows, 3 epochs, 3 seeds"] = compare(results, "ftcourse")
    report("train", parts)
