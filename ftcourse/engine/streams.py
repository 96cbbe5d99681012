"""Rows that come one after the other, and may be more than memory or disk have room for: a `datasets.IterableDataset`,
read into a buffer, shuffled there, and made into batches of similar length; a training goes on at the very row."""

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import islice

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from datasets import Dataset, IterableDataset, concatenate_datasets
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from ftcourse.engine.batches import Collate, length_batches, make_loader, quicker, token_lengths
from ftcourse.engine.checkpoint import data_hash
from ftcourse.engine.columns import check_values
from ftcourse.engine.messages import trouble

BUFFER, BUFFER_TOKENS = 10_000, 2_000_000  # rows that are shuffled together; fewer, where they have so many tokens
AT_ONCE = 1000  # rows that are read before they are packed


def check_stream(data: Dataset | IterableDataset, config) -> None:
    """Make sure that a configuration can train on rows whose number nobody knows; `ValueError` where it cannot.

    >>> from ftcourse.loop import TrainConfig
    >>> check_stream(Dataset.from_dict({"input_ids": [[2, 3]]}).to_iterable_dataset(), TrainConfig())
    Traceback (most recent call last):
    ValueError: train_data is an IterableDataset, and how many rows it has is not known; say how many steps to make, ...
    """
    if not isinstance(data, IterableDataset):
        return
    if config.max_steps is None:
        raise trouble("stream_steps")
    if config.class_weights is not None:
        raise trouble("stream_weights")


def sample_of(data: Dataset | IterableDataset, config) -> Dataset:
    """The data themselves, or the first rows of a stream, four batches of them.

    >>> from ftcourse.loop import TrainConfig
    >>> stream = Dataset.from_dict({"input_ids": [[2, 3]] * 9}).to_iterable_dataset()
    >>> len(sample_of(stream, TrainConfig(batch_size=2)))
    8
    """
    if not isinstance(data, IterableDataset):
        return data
    return Dataset.from_list([*data.take(4 * config.batch_size)], features=data.features)


def own_batches(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator, process: int = 0, processes: int = 1
) -> list[list[int]]:
    """Those of `length_batches` that one of several processes trains with; all have as many.

    A rest that is too small for a batch each is shared out; of fewer rows than processes some are used twice.

    >>> [own_batches(np.array([3] * 5), 2, np.random.default_rng(0), process, 2) for process in (0, 1)]
    [[[2, 4], [1]], [[3, 0], [1]]]
    """
    batches, whole = length_batches(lengths, batch_size, rng, processes), len(lengths) // (batch_size * processes)
    own, rest = batches[: whole * processes][process::processes], sum(batches[whole * processes :], [])
    if rest:
        own.append(np.array_split(np.resize(rest, max(len(rest), processes)), processes)[process].tolist())
    return own


def plain_state(state: dict) -> dict | None:
    """A stream's state, where JSON can hold it."""
    with suppress(TypeError, ValueError):
        return json.loads(json.dumps(state))
    return None


class StreamLoader:
    """The batches of a stream, an epoch after the other; every process reads all rows, and trains with its part.

    As many rows as the buffer holds are shuffled and made into batches as those of a `Dataset` are: a stream that fits
    into the buffer trains like one. `place` says where the stream stands: the state that it had before the rows in the
    buffer were read, how many rows and batches came before, and a hash of the buffer's rows. `found` is such a place,
    to go on from: where the stream cannot be set to that state, as after a shuffle of its own, rows are counted anew.

    >>> from ftcourse.engine.models import small_example
    >>> from ftcourse.loop import TrainConfig
    >>> model, data, collate = small_example()
    >>> config = TrainConfig(batch_size=3, max_steps=2)
    >>> [len(batch["labels"]) for batch in StreamLoader(data.to_iterable_dataset(), model, collate, config)]
    [3, 1]
    """

    batch_sampler = None

    def __init__(
        self,
        data: IterableDataset,
        model: PreTrainedModel,
        collate: Collate,
        config,
        device: torch.device | str = "cpu",
        process: int = 0,
        processes: int = 1,
    ):
        self.data, self.model, self.collate, self.config = data.with_format(None), model, collate, config
        self.device, self.process, self.processes = device, process, processes
        self.features, self.epoch, self.place, self.found = data.features, 0, None, None

    def set_epoch(self, epoch: int) -> None:
        """The next pass is this epoch."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Mapping[str, torch.Tensor]]:
        return self.after(0)

    def after(self, done: int) -> Iterator[Mapping[str, torch.Tensor]]:
        """The batches of the next epoch, on the device, without the first ones, with which steps were made already."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        for rows in self.buffers(epoch, done):
            rng = np.random.default_rng([self.config.seed, epoch, *filter(None, [self.place["buffer"]])])
            lengths = token_lengths(rows) * (self.config.sampling != "random")
            own = own_batches(lengths, self.config.batch_size, rng, self.process, self.processes)
            start = min(max(done - self.place["batches"], 0), len(own))
            self.end = {"rows": self.place["rows"] + len(rows), "batches": self.place["batches"] + len(own)}
            how = {"collate_fn": quicker(self.collate), "num_workers": self.config.workers}
            how |= {"pin_memory": torch.cuda.is_available(), "generator": torch.Generator()}  # not that of dropout
            for batch in DataLoader(rows, batch_sampler=own[start:], **how):
                yield send_to_device(batch, self.device, non_blocking=True)
        if self.place is None:
            raise trouble("stream_empty", epoch=epoch + 1)

    def buffers(self, epoch: int, done: int) -> Iterator[Dataset]:
        """The rows, as many at a time as are shuffled together, from the place where a training was stopped."""
        found, self.found, self.place = self.found, None, None
        place, state = {"buffer": 0, "rows": 0, "batches": 0}, None
        if found and found["epoch"] == epoch and found["batches"] <= done:
            stream, rows = self.again(epoch, found)
            place, state = {name: found[name] for name in place}, found["state"]
        else:
            stream = self.passed(epoch)
            rows = self.packed(stream, 0)
        while rows:
            self.place = {**place, "epoch": epoch, "state": state, "hash": data_hash(rows)}
            state = plain_state(self.data.state_dict())
            yield rows
            place = {"buffer": place["buffer"] + 1, **self.end}
            rows = self.packed(stream, place["rows"])

    def passed(self, epoch: int, state: dict | None = None) -> Iterator[dict]:
        """The rows of an epoch, from a state of the stream on."""
        self.data.load_state_dict(state)
        self.data.set_epoch(epoch)
        return iter(self.data)

    def again(self, epoch: int, found: dict) -> tuple[Iterator[dict], Dataset]:
        """The stream from a place on, and the first buffer of it: by the stream's own state, or else rows are counted.

        Raises `ValueError` where these are not the rows that were there before.
        """
        ways = [lambda: self.passed(epoch, found["state"])] if found["state"] else []
        ways.append(lambda: islice(self.passed(epoch), found["rows"], None))
        for way in ways:
            stream = way()
            rows = self.packed(stream, found["rows"])
            if rows and data_hash(rows) == found["hash"]:
                return stream, rows
        raise trouble("stream_other", row=found["rows"])

    def packed(self, stream: Iterator[dict], first: int) -> Dataset | None:
        """The next rows of a stream, in a form that takes little memory, and found good; None at its end."""
        step, count, tokens, parts = self.config.batch_size * self.processes, 0, 0, []
        while count < BUFFER and tokens < BUFFER_TOKENS:
            size = min(AT_ONCE, BUFFER - count)
            if not (rows := [*islice(stream, size - size % step or step)]):
                break
            schema = self.features and self.features.arrow_schema
            parts.append(Dataset(pa.Table.from_pylist(rows, schema=schema)))
            self.features, count = parts[0].features, count + len(rows)
            tokens += int(token_lengths(parts[-1]).sum())
            check_values(self.model, parts[-1], "train_data", self.collate, first + count - len(rows))
        return concatenate_datasets(parts) if parts else None


def loader_for(
    data: Dataset | IterableDataset, model: PreTrainedModel, collate: Collate, config, accelerator: Accelerator
) -> DataLoader | StreamLoader:
    """What hands out batches: `make_loader` for a `Dataset`, a `StreamLoader` for a stream."""
    if not isinstance(data, IterableDataset):
        return make_loader(data, collate, config, accelerator.num_processes)
    place = {"process": accelerator.process_index, "processes": accelerator.num_processes}
    return StreamLoader(data, model, collate, config, accelerator.device, **place)


def batches_after(loader, done: int) -> Iterator[Mapping[str, torch.Tensor]]:
    """The batches of an epoch without the first ones, with which steps were made already; these are drawn at once.

    >>> [*batches_after([1, 2, 3], 2)]
    [3]
    """
    if isinstance(loader, StreamLoader):
        return loader.after(done)
    batches = iter(loader)
    deque(islice(batches, done), maxlen=0)
    return batches
