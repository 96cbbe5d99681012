"""A training under way, for the loop of chapter 06: `begun` readies its parts, at the start or at the last checkpoint;
a `Run` hands out batches, weighs their losses and keeps what happened."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from datasets import Dataset
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from ftcourse.engine.batches import Collate, parts_of
from ftcourse.engine.best import BestWeights, is_over
from ftcourse.engine.checkpoint import Checkpoints, data_hash, model_hash, order_state, set_random_state
from ftcourse.engine.columns import IGNORED, ROW_WEIGHT
from ftcourse.engine.folders import only_one
from ftcourse.engine.forward import shared
from ftcourse.engine.messages import trouble
from ftcourse.engine.optimizers import limit_norm, make_optimizer, make_scheduler
from ftcourse.engine.precision import choose_precision, quick_attention
from ftcourse.engine.processes import accelerator_for
from ftcourse.engine.progress import make_bar
from ftcourse.engine.sharded import Shards, asked_for
from ftcourse.engine.streams import batches_after, check_stream, loader_for, sample_of
from ftcourse.engine.vocabulary import SPLIT, Vocabulary, vocabulary_of
from ftcourse.engine.weights import class_weights, weighted_loss

Batch = Mapping[str, torch.Tensor]


@dataclass
class Run:
    """The parts of a training under way, as `accelerator` prepared them, with all that happened so far, up to `step`.

    `scored` says that an epoch ends with a score or callbacks, before which all is saved.
    """

    accelerator: Accelerator
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    loader: DataLoader
    config: object
    history: object
    progress: tqdm
    losses: list[torch.Tensor] = field(default_factory=list)
    checkpoints: Checkpoints | None = None
    scored: bool = False
    finished: bool = False
    started: float = 0.0
    order: list[int] | None = None
    random: dict | None = None
    weights: torch.Tensor | None = None
    best: BestWeights | None = None
    vocabulary: Vocabulary | None = None
    shards: Shards | None = None

    @property
    def step(self) -> int:
        """How many steps were made, in all epochs."""
        return len(self.history.losses) + len(self.losses)

    @property
    def enough(self) -> bool:
        """Whether as many steps were made as the configuration asks for, where it does."""
        return self.config.max_steps is not None and self.step >= self.config.max_steps

    @property
    def network(self) -> PreTrainedModel:
        """The model without what `accelerate` put around it; where it is in shards, the whole one beside them."""
        return self.shards.model if self.shards else self.accelerator.unwrap_model(self.model)

    @property
    def skipped(self) -> bool:
        """Whether the last step was left out, because a gradient was too large for 16 bits."""
        return self.accelerator.optimizer_step_was_skipped

    def groups(self) -> Iterator[list[Batch]]:
        """The batches of this epoch that no step was made with yet, as many at a time as a step takes.

        After a checkpoint, random numbers go on from there.
        """
        if self.vocabulary:
            self.vocabulary.enter()
        if not self.losses:
            self.started, self.order = time.perf_counter(), order_state(self.loader)
        batches = batches_after(self.loader, len(self.losses) * self.config.accumulation)
        if self.losses:
            set_random_state(self.random)
        while not self.enough and (group := list(islice(batches, self.config.accumulation))):
            yield group

    def weighted(self, batches: Sequence[Batch]) -> Iterator[tuple[Batch, torch.Tensor]]:
        """Each batch of a step with its weight: its share of all labels that count, in all processes.

        A batch of long rows comes in parts. Gradients are exchanged with the other processes after the last one only.
        """
        batches = [part for batch in batches for part in parts_of(batch)]
        counts = [(batch["labels"] != IGNORED).sum().float() for batch in batches]
        total = self.accelerator.reduce(torch.stack(counts).sum(), reduction="sum").clamp(min=1)
        for number, (batch, count) in enumerate(zip(batches, counts, strict=True), start=1):
            with nullcontext() if number == len(batches) else self.accelerator.no_sync(self.model):
                yield batch, count / total

    def loss(self, batch: Batch) -> torch.Tensor:
        """The model's loss for a batch, with the weights of labels and rows; 0 where none of its labels counts."""
        inputs = {name: tensor for name, tensor in batch.items() if name != ROW_WEIGHT}
        with quick_attention(self.accelerator.device, self.accelerator.mixed_precision):
            outputs = self.model(**inputs)
        loss, rows = outputs.loss, batch.get(ROW_WEIGHT)
        if self.weights is not None or rows is not None:
            loss = weighted_loss(outputs.logits, batch["labels"], self.weights, rows)
        return torch.where((batch["labels"] != IGNORED).any(), loss, 0)

    def backward(self, loss: torch.Tensor) -> None:
        """Adds a loss's gradients to those there are; processes average theirs, so it counts for each."""
        self.accelerator.backward(loss * self.accelerator.num_processes)

    def clip_gradients(self) -> None:
        """Shortens the gradients, all together, to the length that the configuration allows."""
        if self.config.clip is None:
            return
        if self.accelerator.scaler or self.shards or self.accelerator.distributed_type in SPLIT:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip)
        else:
            limit_norm(self.optimizer.optimizer, self.config.clip)

    def end_step(self, loss: torch.Tensor) -> None:
        """Notes this process's part of a step's loss; each `save_steps` steps, all is saved."""
        self.losses.append(loss)
        self.progress.update()
        if self.step % self.config.save_steps == 0:
            self.save()

    def end_epoch(self) -> None:
        """Hands the epoch's losses, of all processes, and the seconds to the history; the model is whole again."""
        if self.vocabulary:
            self.vocabulary.leave()
        if self.shards:
            self.shards.gather()
        if self.scored:
            self.save()
        losses, self.losses = self.accelerator.reduce(torch.stack(self.losses), reduction="sum"), []
        self.history.end_epoch(losses.tolist(), time.perf_counter() - self.started)

    def end_round(self, callbacks: Iterable[Callable]) -> None:
        """Calls what is to be called after an epoch; the training ends where one returns true, where patience is at
        its end, or all is done."""
        if self.best:
            self.best.note(self)
        stops = [callback(self.network, self.history) for callback in callbacks]
        over = self.enough if self.config.max_steps else len(self.history.steps) == self.config.epochs
        self.finished = any(stops) or over or is_over(self.history.metrics, self.config.patience)
        self.save()
        if self.best:
            self.best.tidy(self)

    def sharing(self):
        """While it lasts, each process evaluates its share of the rows, and all get the score of the whole."""
        return shared(self.accelerator.process_index, self.accelerator.num_processes)

    def whole(self) -> AbstractContextManager:
        """While it lasts, the model is whole: with all its vocabulary, and with the weights of all shards."""
        if self.shards:
            self.shards.gather()
        return self.vocabulary.left() if self.vocabulary else nullcontext()

    def end(self) -> None:
        """Once all is done, the weights are those that the configuration asks for."""
        if self.best and self.finished:
            self.best.put_back(self)

    def save(self) -> None:
        """Writes a checkpoint, where there is a folder for them."""
        if self.checkpoints:
            with self.whole():
                self.checkpoints.save(self)

    def interrupted(self) -> None:
        """Brings losses and learning rates of an unfinished epoch into the history."""
        self.history.losses += [loss.item() * self.accelerator.num_processes for loss in self.losses]
        del self.history.lrs[len(self.history.losses) :]


def plan_of(config) -> dict:
    """The decisions of a configuration that a training's result depends on, by name.

    >>> from ftcourse.loop import TrainConfig
    >>> plan_of(TrainConfig(lr=3e-4))["lr"]
    0.0003
    """
    return {name: value for name, value in vars(config).items() if name not in ("workers", "save_steps")}


def open_checkpoints(folder: str | Path | None, resume: bool, config, data: Dataset, model) -> Checkpoints | None:
    """Where checkpoints go, for this training and no other; None without a folder.

    Raises `FileExistsError` for a folder that is not empty, without `resume`; `ValueError` for `resume` without one.

    >>> open_checkpoints(None, False, None, Dataset.from_dict({"input_ids": [[2, 3]]}), torch.nn.Linear(2, 2))
    """
    if folder is None:
        if resume:
            raise trouble("resume")
        return None
    return Checkpoints(folder, {**plan_of(config), "data": data_hash(data), "weights": model_hash(model)}, resume)


def start_run(
    model: PreTrainedModel, data: Dataset, collate: Collate, config, history, accelerator: Accelerator, stack: ExitStack
) -> Run:
    """All parts, ready for the first step: seeded, on their device, with no gradients left over from before.

    When `stack` is closed, the model has its whole vocabulary again.
    """
    set_seed(config.seed, device_specific=True)
    weights = class_weights(data, model.to(accelerator.device), config)
    loader = loader_for(data, model, collate, config, accelerator)
    loader, shards = accelerator.prepare(loader), Shards(model, accelerator) if asked_for() else None
    kind = accelerator.distributed_type
    vocabulary = None if shards else vocabulary_of(model, data, collate, kind)
    if vocabulary:
        stack.callback(vocabulary.leave)
        vocabulary.enter()
    wrapped = shards.network if shards else accelerator.prepare(model)
    optimizer = make_optimizer(shards.network if shards else model, config.lr, config.weight_decay)
    optimizer.zero_grad()
    num_steps = config.max_steps or config.epochs * math.ceil(len(loader) / config.accumulation)
    scheduler = make_scheduler(optimizer, config.warmup, num_steps)
    optimizer, bar = accelerator.prepare(optimizer), make_bar(num_steps, accelerator)
    parts = {"vocabulary": vocabulary, "shards": shards, "weights": weights}
    return Run(accelerator, wrapped, optimizer, scheduler, loader, config, history, bar, **parts)


@contextmanager
def begun(
    model: PreTrainedModel,
    data: Dataset,
    collate: Collate,
    config,
    history,
    *,
    output_dir: str | Path | None = None,
    resume: bool = False,
    scored: bool = False,
) -> Iterator[Run]:
    """A training at its start or, with `resume`, at its last checkpoint; afterwards `model` is as before, but trained.

    A `KeyboardInterrupt` carries the history on its way out.

    >>> from ftcourse.engine.models import load_classifier
    >>> from ftcourse.kit import Kit
    >>> from ftcourse.loop import History, TrainConfig
    >>> data, config = Dataset.from_dict({"input_ids": [[2, 3]] * 5}), TrainConfig(epochs=2, batch_size=2)
    >>> with begun(load_classifier(Kit().model("stars")), data, list, config, History()) as run:
    ...     len(run.loader), run.progress.total
    (3, 6)
    """
    with ExitStack() as stack:
        check_stream(data, config)
        if output_dir is not None:
            stack.enter_context(only_one(output_dir))
        sample = sample_of(data, config)
        checkpoints = open_checkpoints(output_dir, resume, config, sample, model)
        precision = (checkpoints and checkpoints.precision) or choose_precision(model, sample, collate, config)
        accelerator = stack.enter_context(accelerator_for(model, precision))
        run = start_run(model, data, collate, config, history, accelerator, stack)
        run.checkpoints, run.scored = checkpoints, scored
        run.best = BestWeights(checkpoints and checkpoints.folder) if config.keep == "best" else None
        try:
            if checkpoints:
                with run.whole():
                    checkpoints.restore(run)
            yield run
            run.end()
        except KeyboardInterrupt as interrupt:
            run.interrupted()
            interrupt.history = run.history
            raise
        finally:
            run.progress.close()
