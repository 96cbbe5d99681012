"""Tokenizing the training splits: `ftcourse.data.tokenize` beside plain `map`, and the tokenizer without a data set."""

from datasets import Dataset, load_dataset
from transformers import AutoTokenizer

from benchmarks.measure import compare, report, take_turns
from ftcourse.data import tokenize
from ftcourse.kit import Kit


def fresh(rows: Dataset, seed: int) -> Dataset:
    """The same rows as a data set that no cache knows."""
    return Dataset.from_dict(rows.add_column("seed", [seed] * len(rows)).remove_columns("seed")[:])


def main() -> None:
    kit = Kit()
    tokenizer = AutoTokenizer.from_pretrained(kit.model("encoder"))
    rows = load_dataset(*kit.dataset("reviews"), split="train").select_columns(["text"])
    texts = rows["text"][:]

    def mapped(seed: int):
        data = fresh(rows, seed)
        return lambda: data.map(lambda batch: tokenizer(batch["text"], truncation=True), batched=True) and None

    def row_by_row(seed: int):
        data = fresh(rows, seed)
        return lambda: data.map(lambda row: tokenizer(row["text"], truncation=True)) and None

    def ours(seed: int):
        data = fresh(rows, seed)
        return lambda: tokenize(data, tokenizer) and None

    contestants = {
        "ftcourse": ours,
        "map, batched": mapped,
        "map, row by row": row_by_row,
        "limit": lambda seed: lambda: tokenizer(texts, truncation=True) and None,
    }
    report("tokenize", {f"{len(texts):,} reviews": compare(take_turns(contestants), "ftcourse")})
