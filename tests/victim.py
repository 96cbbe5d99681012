"""A tiny training for a process of its own, which the tests kill:
`python -m tests.victim FOLDER SAMPLING [resume] [auto] [best]`."""

import os
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from accelerate import PartialState
from datasets import Dataset
from safetensors.torch import save_file
from transformers import BertConfig, BertForSequenceClassification, default_data_collator

from ftcourse.cli import app
from ftcourse.engine.folders import only_file, only_one
from ftcourse.finetune import finetune
from ftcourse.loop import TrainConfig, train


def tiny_model() -> BertForSequenceClassification:
    torch.manual_seed(0)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertForSequenceClassification(BertConfig(vocab_size=50, **sizes))


def tiny_data(size: int = 60) -> Dataset:
    rows = np.random.default_rng(0).integers(1, 50, (size, 6)).tolist()
    return Dataset.from_dict({"input_ids": rows, "labels": [row[0] % 2 for row in rows]})


def run(folder, resume: bool = False, **options):
    """Train with a checkpoint after each step, on one thread in every process; the model and its history."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model, data = tiny_model(), tiny_data()
    config = TrainConfig(**{"epochs": 3, "batch_size": 2, "accumulation": 2, "lr": 1e-2, "save_steps": 1} | options)
    try:
        return model, train(
            model, data, data, collate=default_data_collator, config=config, output_dir=folder, resume=resume
        )
    finally:
        torch.set_num_threads(num_threads)


def tune(table: str, model: str, folder: str, epochs: str) -> None:
    """Fine-tune a tiny model for a table of reviews, or go on with it."""
    torch.set_num_threads(1)
    config = TrainConfig(epochs=int(epochs), batch_size=4, lr=5e-3, save_steps=2)
    with redirect_stdout(StringIO()):
        finetune(table, text="review", label="stars", model=model, output_dir=folder, config=config, resume=True)


def answer(model: str, table: str, out: str) -> None:
    """Write answers for a table of reviews, or go on with them."""
    torch.set_num_threads(1)
    with redirect_stdout(StringIO()):
        app(["predict", model, table, "--text", "review", "--out", out], standalone_mode=False)


def score(model: str, table: str, out: str) -> None:
    """Write the report of a test on a table of reviews, over what a stopped test may have left."""
    torch.set_num_threads(1)
    with redirect_stdout(StringIO()):
        words = ["evaluate", model, table, "--text", "review", "--label", "stars", "--out", out, "--force"]
        app(words, standalone_mode=False)


def hold(file: str, folder: str) -> None:
    """Hold a file and a folder for a minute."""
    with only_file(file), only_one(folder):
        time.sleep(60)


def hold_with_a_child(folder: str) -> None:
    """Hold a folder for a minute, with a child that has what this process has, for a second."""
    with only_one(folder):
        if os.fork() == 0:
            Path(folder, "child").touch()
            time.sleep(1)
            os._exit(0)
        time.sleep(60)


def main(folder: str, sampling: str, resume: bool, precision: str | None = None, **options) -> None:
    trained, history = run(folder, resume, sampling=sampling, precision=precision, **options)
    if PartialState().is_main_process:
        save_file(dict(trained.state_dict()), f"{folder}/final.safetensors")
        print(PartialState().num_processes, len(history.losses))
    PartialState().destroy_process_group()


if __name__ == "__main__":
    best = {"keep": "best", "lr": 0.3, "seed": 1} if "best" in sys.argv else {}
    main(sys.argv[1], sys.argv[2], "resume" in sys.argv, "auto" if "auto" in sys.argv else None, **best)
