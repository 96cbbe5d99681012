"""The best round of a training, by its loss on the validation rows: which one it is, when to wait no longer for a
better one, and its weights, which are kept on the disk beside the checkpoints, or else in memory."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from datasets import Dataset
from transformers import PreTrainedModel

from ftcourse.engine.checkpoint import KEPT, read_checkpoint, trained_weights, write_checkpoint
from ftcourse.engine.columns import checked_data
from ftcourse.engine.messages import trouble


def best_round(metrics: Sequence[dict[str, float]]) -> int:
    """The number, from 0, of the round with the lowest loss; of equals the first, and never one whose loss is none.

    The loss, and no other score: lower is better whatever the problem, and it moves with every row.

    >>> best_round([{"loss": 0.7}, {"loss": 0.5}, {"loss": 0.5}, {"loss": float("nan")}])
    1
    """
    losses = [math.inf if math.isnan(scores["loss"]) else scores["loss"] for scores in metrics]
    return losses.index(min(losses))


def is_over(metrics: Sequence[dict[str, float]], patience: int | None) -> bool:
    """Whether the last `patience` rounds brought no lower loss.

    >>> is_over([{"loss": 0.5}, {"loss": 0.6}], 1), is_over([{"loss": 0.5}, {"loss": 0.6}], 2), is_over([], 1)
    (True, False, False)
    """
    return bool(patience and metrics) and len(metrics) - 1 - best_round(metrics) >= patience


def checked_valid(model: PreTrainedModel, data: Dataset | None, collate: Callable, config) -> Dataset | None:
    """The data to validate with, found good, or None; a `ValueError` where a configuration cannot do without.

    >>> from ftcourse.loop import TrainConfig
    >>> checked_valid(None, None, None, TrainConfig(keep="best"))
    Traceback (most recent call last):
    ValueError: keep="best" and patience go by the loss on the validation data, and there are none; ...
    """
    if data is not None:
        return checked_data(model, data, collate, "valid_data")
    if config.keep == "best" or config.patience:
        raise trouble("no_valid_data")
    return None


class BestWeights:
    """The weights of the best round so far; without a folder, in memory.

    In a folder those of the best round before it are kept, too: a damaged checkpoint may send a training back to it.
    """

    def __init__(self, folder: Path | None):
        self.folder, self.tensors = folder, {}
        for part in folder.glob(".best-*.part") if folder else ():
            part.unlink(missing_ok=True)

    def path(self, step: int) -> Path:
        """Where the weights after a step are."""
        return self.folder / f"best-{step:08}.safetensors"

    def note(self, run) -> None:
        """After a round: keeps its weights, if it is the best one so far."""
        if best_round(run.history.metrics) < len(run.history.metrics) - 1:
            return
        tensors = {name: tensor.detach() for name, tensor in trained_weights(run.network)}
        if self.folder is None:
            self.tensors = {name: tensor.to("cpu", copy=True) for name, tensor in tensors.items()}
        elif run.accelerator.is_main_process:
            write_checkpoint(self.path(run.step), {name: one.contiguous() for name, one in tensors.items()}, {})

    def tidy(self, run) -> None:
        """Drops what no checkpoint needs any more."""
        if self.folder and run.accelerator.is_main_process:
            for old in sorted(self.folder.glob("best-*.safetensors"), reverse=True)[KEPT:]:
                old.unlink()

    def put_back(self, run) -> None:
        """At the end of a training: gives the model the weights of its best round."""
        best = best_round(run.history.metrics)
        if best == len(run.history.metrics) - 1:
            return
        run.accelerator.wait_for_everyone()
        tensors = read_checkpoint(self.path(run.history.steps[best]))[0] if self.folder else self.tensors
        with torch.no_grad():
            for name, tensor in trained_weights(run.network):
                tensor.copy_(tensors[name])
