"""Contestants in training: each fine-tunes the same model on the same rows, and evaluates it after each epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import (
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    get_scheduler,
    set_seed,
)

from benchmarks.measure import Contestant, missing
from ftcourse.engine.batches import make_loader
from ftcourse.engine.precision import choose_precision, quick_attention
from ftcourse.loop import TrainConfig, train

LR = 3e-4
BATCH = 16
OURS, LIMIT, STEPPED = "ftcourse", "limit", "limit, with AdamW"
DEFAULTS, BEST, RECIPE, NAIVE, KERAS = (
    "Trainer, defaults",
    "Trainer, at its best",
    "tutorials' recipe",
    "naive loop",
    "Keras fit",
)


@dataclass(frozen=True)
class Task:
    """A fresh model by seed, its data, and how long to train."""

    new_model: Callable[[int], PreTrainedModel]
    tokenizer: PreTrainedTokenizerBase
    train_data: Dataset
    valid_data: Dataset
    epochs: int = 1
    lr: float = LR

    @property
    def collate(self) -> DataCollatorWithPadding:
        return DataCollatorWithPadding(self.tokenizer)

    def config(self, seed: int) -> TrainConfig:
        return TrainConfig(epochs=self.epochs, batch_size=BATCH, lr=self.lr, precision="auto", seed=seed)


def accuracy(prediction) -> dict[str, float]:
    return {"accuracy": float(np.mean(prediction.predictions.argmax(-1) == prediction.label_ids))}


def ours(task: Task, seed: int) -> Callable:
    model, config = task.new_model(seed), task.config(seed)
    choose_precision(model, task.train_data, task.collate, config)  # once a process, so it is no part of a run
    options = {"collate": task.collate, "config": config, "metrics": accuracy}
    return lambda: {"accuracy": train(model, task.train_data, task.valid_data, **options).metrics[-1]["accuracy"]}


def half(model: torch.nn.Module, precision: str | None) -> torch.autocast:
    """While it lasts, the model calculates in bf16, where that is the precision."""
    return torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16")


def step(model: torch.nn.Module, batch: dict, precision: str | None, optimizer=None) -> None:
    """Forward and backward; with an optimizer, clipping and its step, too."""
    with quick_attention(model.device, precision), half(model, precision):
        loss = model(**batch).loss
    loss.backward()
    if optimizer:
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.zero_grad()


def limit(task: Task, seed: int, stepped: bool = False) -> Callable:
    """Forward and backward over the batches of `ours`, which lie ready in memory, at the precision of `ours`; clipping
    and PyTorch's own fused AdamW, too, where `stepped`."""
    model, config = task.new_model(seed), task.config(seed)
    precision = choose_precision(model, task.train_data, task.collate, config)
    loader = make_loader(task.train_data, task.collate, config)
    epochs = [list(loader) for _ in range(task.epochs)]
    valid = list(DataLoader(task.valid_data, batch_sampler=by_length(task.valid_data), collate_fn=task.collate))
    optimizer = torch.optim.AdamW(model.parameters(), lr=task.lr, weight_decay=0.0, fused=True) if stepped else None

    def work() -> None:
        for batches in epochs:
            model.train()
            for batch in batches:
                step(model, batch, precision, optimizer)
            model.eval()
            with torch.inference_mode(), half(model, precision):
                for batch in valid:
                    model(**batch)

    return work


def by_length(data: Dataset) -> list[list[int]]:
    order = np.argsort([-len(ids) for ids in data["input_ids"]], kind="stable").tolist()
    return [order[start : start + 4 * BATCH] for start in range(0, len(order), 4 * BATCH)]


def trainer(task: Task, seed: int, collate: Callable | None = None, **options) -> Callable:
    """`Trainer` as it comes, but for what all have in common; nothing is saved, because nobody else saves either."""
    args = TrainingArguments(
        output_dir="build/bench/trainer",
        num_train_epochs=task.epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=task.lr,
        seed=seed,
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_strategy="no",
        **options,
    )
    runner = Trainer(
        task.new_model(seed),
        args,
        train_dataset=task.train_data,
        eval_dataset=task.valid_data,
        processing_class=task.tokenizer,
        data_collator=collate,
        compute_metrics=accuracy,
    )

    runner.remove_callback(PrinterCallback)

    def work() -> dict[str, float]:
        runner.train()
        return {"accuracy": runner.state.log_history[-2]["eval_accuracy"]}

    return work


def best_trainer(task: Task, seed: int) -> Callable:
    """`Trainer` with all that helps: batches by length, larger batches in evaluation, bf16 where it is quicker."""
    bf16 = choose_precision(task.new_model(seed), task.train_data, task.collate, task.config(seed)) == "bf16"
    options = {
        "train_sampling_strategy": "group_by_length",
        "per_device_eval_batch_size": 4 * BATCH,
        "bf16": bf16,
        "use_cpu": not torch.cuda.is_available(),
    }
    return trainer(task, seed, **options)


def recipe(task: Task, seed: int) -> Callable:
    """The tutorials' recipe: every row padded to the model's maximum, at most 512."""
    longest = min(512, task.new_model(seed).config.max_position_embeddings)
    return trainer(task, seed, DataCollatorWithPadding(task.tokenizer, padding="max_length", max_length=longest))


def naive(task: Task, seed: int) -> Callable:
    """The naive loop of chapter 06, with its evaluation loop."""
    model = task.new_model(seed)
    set_seed(seed)
    train_data, valid_data = task.train_data.with_format("torch"), task.valid_data.with_format("torch")
    loader = DataLoader(train_data, batch_size=BATCH, shuffle=True, collate_fn=task.collate)
    valid_loader = DataLoader(valid_data, batch_size=32, collate_fn=task.collate)
    optimizer = torch.optim.AdamW(model.parameters(), lr=task.lr, weight_decay=0.0)
    steps = task.epochs * len(loader)
    scheduler = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=steps)

    def work() -> dict[str, float]:
        for _ in range(task.epochs):
            model.train()
            for batch in loader:
                loss = model(**batch).loss
                loss.backward()
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            model.eval()
            right = 0
            for batch in valid_loader:
                with torch.no_grad():
                    logits = model(**batch).logits
                right += (logits.argmax(dim=-1) == batch["labels"]).sum().item()
        return {"accuracy": right / len(valid_data)}

    return work


def keras_fit(task: Task, seed: int) -> Callable:
    """Keras 3 on PyTorch: `fit` with the same network, batches at random, each padded to its longest row."""
    from ftcourse.engine.backend import keras

    keras.config.disable_interactive_logging()
    keras.utils.set_random_seed(seed)

    class Classifier(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = keras.layers.TorchModuleWrapper(task.new_model(seed))

        def call(self, batch, training=None):
            return self.network(**batch, training=training).logits

    def pairs(rows: list[dict]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        batch = dict(task.collate(rows))
        return batch, batch.pop("labels")

    def loader(data: Dataset, size: int, shuffle: bool) -> DataLoader:
        return DataLoader(data.with_format(None), size, shuffle=shuffle, collate_fn=pairs)

    classifier = Classifier()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.AdamW(task.lr, weight_decay=0.0, clipnorm=1.0), loss, metrics=["accuracy"])
    train_loader, valid_loader = loader(task.train_data, BATCH, True), loader(task.valid_data, 2 * BATCH, False)

    def work() -> dict[str, float]:
        history = classifier.fit(train_loader, validation_data=valid_loader, epochs=task.epochs, verbose=0).history
        return {"accuracy": history["val_accuracy"][-1]}

    return work


CONTESTANTS = {
    OURS: ours,
    STEPPED: partial(limit, stepped=True),
    LIMIT: limit,
    DEFAULTS: trainer,
    BEST: best_trainer,
    NAIVE: naive,
    KERAS: keras_fit,
    RECIPE: recipe,
}


def contestants(task: Task, names: list[str]) -> dict[str, Contestant]:
    """Those of `CONTESTANTS` that are named, ready to take turns; Keras only where it is installed.

    >>> list(contestants(None, ["ftcourse", "limit"]))
    ['ftcourse', 'limit']
    """
    found = {name: partial(CONTESTANTS[name], task) for name in names}
    if KERAS in found and not find_spec("keras"):
        found[KERAS] = missing("keras")
    return found
