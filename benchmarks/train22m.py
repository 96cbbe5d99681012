"""Training a BERT of 6 layers × 384 with random weights, 22 million parameters, on texts of real lengths."""

from dataclasses import replace

from transformers import BertConfig, BertForSequenceClassification, set_seed

from benchmarks.measure import ROUNDS, compare, report, take_turns
from benchmarks.train import kit_task
from benchmarks.training import BEST, DEFAULTS, LIMIT, OURS, STEPPED, Task, contestants

SHAPE = {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}


def new_model(seed: int) -> BertForSequenceClassification:
    set_seed(seed)
    return BertForSequenceClassification(BertConfig(num_labels=5, **SHAPE)).eval()


def task22m(num_rows: int, num_valid: int) -> Task:
    """The same rows as for the kit's encoder, for the larger network."""
    return replace(kit_task("reviews", num_rows, num_valid), new_model=new_model, lr=5e-5)


def main(rows: int = 64, valid: int = 16, rounds: int = ROUNDS) -> None:
    results = take_turns(contestants(task22m(rows, valid), [OURS, STEPPED, LIMIT, DEFAULTS, BEST]), rounds)
    report("train22m", {f"BERT 6 × 384, {rows} reviews": compare(results, OURS)})
