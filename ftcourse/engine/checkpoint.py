"""Training checkpoints: where a training stands, in one safetensors file, written whole or not at all. Weights,
optimizer and what each step has are its tensors; schedule, place in the data, random states are JSON in its header."""

import hashlib
import json
import os
import random
import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import gather_object
from datasets import Dataset
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ftcourse.engine.folders import check_begun, claim_folder, reason, sync, written_whole
from ftcourse.engine.messages import in_words, trouble
from ftcourse.engine.sharded import like, whole

KEPT = 2
STEPS = ("losses", "lrs")  # what a history has of each step


def random_state() -> dict:
    """The states of the random number generators that a training draws from, for JSON.

    >>> sorted(random_state())
    ['cuda', 'numpy', 'python', 'torch']
    """
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    name, keys, *rest = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), *rest],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in cuda],
    }


def set_random_state(state: Mapping) -> None:
    """Put the generators into a state that `random_state` told.

    >>> state = json.loads(json.dumps(random_state()))
    >>> first = torch.rand(1), random.random(), np.random.rand()
    >>> set_random_state(state)
    >>> first == (torch.rand(1), random.random(), np.random.rand())
    True
    """
    version, keys, gauss = state["python"]
    random.setstate((version, tuple(keys), gauss))
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    for card, one in zip(range(torch.cuda.device_count()), state["cuda"], strict=False):  # here may be fewer, or none
        torch.cuda.set_rng_state(torch.tensor(one, dtype=torch.uint8), card)


def order_generator(loader: torch.utils.data.DataLoader) -> torch.Generator | None:
    """The generator that decides the order of the rows, where there is one.

    >>> loader = torch.utils.data.DataLoader([1, 2], shuffle=True, generator=torch.Generator())
    >>> order_generator(loader) is loader.sampler.generator
    True
    """
    sampler = loader.batch_sampler
    while sampler is not None and getattr(sampler, "generator", None) is None:
        sampler = getattr(sampler, "batch_sampler", None) or getattr(sampler, "sampler", None)
    return getattr(sampler, "generator", None)


def order_state(loader: torch.utils.data.DataLoader) -> list[int] | None:
    """The state of `order_generator`, for JSON."""
    generator = order_generator(loader)
    return None if generator is None else generator.get_state().tolist()


def weights(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Parameters and buffers, each once, even where two layers share one."""
    yield from model.named_parameters()
    yield from model.named_buffers()


def trained_weights(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """What a training changes: the weights that are not frozen, and all buffers.

    >>> [name for name, _ in trained_weights(torch.nn.Linear(2, 2).requires_grad_(False))]
    []
    """
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    return ((name, tensor) for name, tensor in weights(model) if name not in frozen)


def model_hash(model: torch.nn.Module) -> str:
    """What tells one network from another: a hash of names and shapes of its weights, and of those that are frozen.

    >>> model_hash(torch.nn.Linear(2, 3)) == model_hash(torch.nn.Linear(2, 3)) != model_hash(torch.nn.Linear(3, 2))
    True
    """
    digest = hashlib.sha256()
    for name, tensor in weights(model):
        digest.update(json.dumps((name, *tensor.shape, tensor.requires_grad)).encode())
    for weight in model.parameters():
        if not weight.requires_grad:
            digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def data_hash(data: Dataset) -> str:
    """What tells one training set from another: a hash of all its token ids and labels.

    >>> first, second = Dataset.from_dict({"input_ids": [[2, 3]]}), Dataset.from_dict({"input_ids": [[2, 4]]})
    >>> data_hash(first) == data_hash(first) != data_hash(second)
    True
    """
    digest = hashlib.sha256()
    columns = [name for name in ("input_ids", "label", "labels") if name in data.column_names]
    for batch in data.select_columns(columns).with_format(None).iter(1000):
        digest.update(json.dumps(batch, sort_keys=True).encode())
    return digest.hexdigest()


def write_checkpoint(path: Path, tensors: dict[str, torch.Tensor], state: dict) -> None:
    """Write a checkpoint whole or not at all; an `OSError` in one line says why not."""
    try:
        with written_whole(path) as part:
            save_file(tensors, part, metadata={"state": json.dumps(state, default=float)})
            sync(part)
        sync(path.parent)
    except (OSError, SafetensorError) as error:
        raise trouble("checkpoint_not_written", OSError, name=str(path), reason=reason(error)) from error


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """Tensors and state of a checkpoint. Raises `ValueError`, naming the file, where it is damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, json.loads(file.metadata()["state"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        why = reason(error) if getattr(error, "errno", None) else in_words("half_file")
        raise trouble("damaged", name=str(path), reason=why) from error


class Checkpoints:
    """The checkpoints of one training in a folder; the newest two are kept.

    `plan` tells what is trained, and how: a training that was begun with another plan is not continued.
    With `resume`, `precision` is that of the newest whole checkpoint, if there is one. Raises `FileExistsError` for a
    folder that is not empty, unless `resume` is true; `ValueError` where what was trained there is not the same, and
    where all checkpoints are damaged.
    """

    def __init__(self, folder: str | os.PathLike, plan: dict, resume: bool = False):
        self.folder, self.plan = claim_folder(folder, resume), plan
        for part in self.folder.glob(".checkpoint-*.part"):
            part.unlink(missing_ok=True)
        self.found = self.newest() if resume else None
        self.precision = None
        if self.found:
            self.check_plan(self.found[1]["plan"])
            self.precision = self.found[1]["precision"]

    def paths(self) -> list[Path]:
        """The checkpoints there are, the newest first."""
        return sorted(self.folder.glob("checkpoint-*.safetensors"), reverse=True)

    def save(self, run) -> None:
        """Write where `run`, a `ftcourse.engine.run.Run`, stands; then drop all older files but one."""
        captured = self.capture(run, gather_object([random_state()]))  # in all processes: one may have a shard only
        if not run.accelerator.is_main_process:
            return
        write_checkpoint(self.folder / f"checkpoint-{run.step:08}.safetensors", *captured)
        for old in self.paths()[KEPT:]:
            old.unlink()

    def capture(self, run, states: list[dict]) -> tuple[dict[str, torch.Tensor], dict]:
        """All tensors and all the rest of a training, with the random state of each process."""
        optimizer = run.optimizer.state_dict()
        tensors = {f"model.{name}": tensor.detach().contiguous() for name, tensor in trained_weights(run.network)}
        for number, values in optimizer["state"].items():
            tensors |= {f"optimizer.{number}.{name}": whole(tensor).contiguous() for name, tensor in values.items()}
        scaler, history = run.accelerator.scaler, asdict(run.history)
        for name in STEPS:
            tensors[f"history.{name}"] = torch.tensor(history.pop(name), dtype=torch.float64)
        tensors["run.losses"] = torch.stack(run.losses) if run.losses else torch.zeros(0)
        return tensors, {
            "plan": self.plan,
            "precision": run.accelerator.mixed_precision,
            "finished": run.finished,
            "history": history,
            "elapsed": time.perf_counter() - run.started,
            "order": run.order if run.losses else order_state(run.loader),
            "stream": getattr(run.loader, "place", None),
            "groups": optimizer["param_groups"],
            "schedule": run.scheduler.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "random": states,
        }

    def restore(self, run) -> None:
        """Bring a training, just started, to where the newest whole checkpoint stands; to its start without one."""
        if self.found:
            apply(run, *self.found)
            self.found = None

    def newest(self) -> tuple[dict[str, torch.Tensor], dict] | None:
        """The newest checkpoint that can be read, None where there are none; a warning names damaged ones."""
        problems = []
        for path in self.paths():
            try:
                found = read_checkpoint(path)
            except ValueError as error:
                problems.append(str(error))
                continue
            if problems:
                warnings.warn(in_words("older_checkpoint", problem=problems[0], name=path.name), stacklevel=2)
            return found
        if problems:
            raise trouble("no_checkpoint", problem=problems[0])
        return None

    def check_plan(self, begun: dict) -> None:
        """Make sure that data and settings are those it was begun with; a `ValueError` names one that is not."""
        plan = json.loads(json.dumps(self.plan, default=float))
        for name, key in (("data", "other_data"), ("weights", "other_network")):  # hashes, which tell a reader nothing
            if begun.get(name) != plan.get(name):
                raise trouble(key, folder=str(self.folder))
        check_begun(self.folder, begun, plan, sorted({*plan, *begun}), "other_training")


def apply(run, tensors: dict[str, torch.Tensor], state: dict) -> None:
    """Give a training, just started, the tensors and the state of a checkpoint.

    Raises `ValueError` where it was begun with another number of processes.
    """
    accelerator, optimizer = run.accelerator, {}
    if len(state["random"]) != accelerator.num_processes:
        begun, now = len(state["random"]), accelerator.num_processes
        raise trouble("processes", was=begun, given=now)
    with torch.no_grad():
        for name, tensor in trained_weights(run.network):
            tensor.copy_(tensors[f"model.{name}"])
    if run.shards:
        run.shards.scatter()
    patterns = [weight for group in run.optimizer.param_groups for weight in group["params"]]
    for name, tensor in tensors.items():
        kind, number, *rest = name.split(".")
        if kind == "optimizer":
            optimizer.setdefault(int(number), {})[rest[0]] = like(tensor, patterns[int(number)])
    run.optimizer.load_state_dict({"state": optimizer, "param_groups": state["groups"]})
    run.scheduler.load_state_dict(state["schedule"])
    if state["scaler"]:
        accelerator.scaler.load_state_dict(state["scaler"])
    steps = {name: tensors[f"history.{name}"].tolist() for name in STEPS if f"history.{name}" in tensors}
    run.history = type(run.history)(**state["history"], **steps)
    losses = tensors["run.losses"] if steps else torch.tensor(state["losses"])  # version 0.1 had them in the header
    run.losses = [*losses.to(accelerator.device)]
    run.finished, run.started = state["finished"], time.perf_counter() - state["elapsed"]
    run.order, run.random = state["order"], state["random"][accelerator.process_index]
    if run.order is not None:
        order_generator(run.loader).set_state(torch.tensor(run.order, dtype=torch.uint8))
    run.loader.set_epoch(len(run.history.steps))
    run.loader.found = state.get("stream")
    run.progress.update(run.step)
    set_random_state(run.random)
