"""Training a BERT of 6 layers × 384 with random weights, 22 million parameters, on texts of real lengths."""

from dataclasses import replace

from transformers import BertConfig, BertForSequenceClassification, set_seed

from benchmarks.measure import compare, report, take_turns
from benchmarks.train import kit_task
from benchmarks.training import CONTESTANTS, RECIPE, contestants

SHAPE = {"num_hidden_layers": 6, "hidden_size": 384, "num_attention_heads": 6, "intermediate_size": 1536}


def new_model(seed: int) -> BertForSequenceClassification:
    set_seed(seed)
    return BertForSequenceClassification(BertConfig(num_labels=5, **SHAPE))


def main() -> None:
    task = replace(kit_task("reviews", num_rows=96, num_valid=32), new_model=new_model, lr=5e-5)
    results = take_turns(contestants(task, [name for name in CONTESTANTS if name != RECIPE]), rounds=3)
    few = replace(task, train_data=task.train_data.select(range(16)), valid_data=task.valid_data.select(range(8)))
    slow = take_turns(contestants(few, ["ftcourse", RECIPE]), rounds=3)
    report("train22m", {"reviews, 96 rows": compare(results, "ftcourse"), "16 rows": compare(slow, "ftcourse")})
