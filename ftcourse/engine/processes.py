"""A training in one process or in many: a fresh `Accelerator` each time, and a model that comes back as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs
from transformers import PreTrainedModel

from ftcourse.engine.launch import connect
from ftcourse.engine.messages import trouble

EXCHANGE = DistributedDataParallelKwargs(gradient_as_bucket_view=True)  # gradients are exchanged where they lie


def is_out_of_memory(error: BaseException) -> bool:
    """Whether something failed because there was not enough memory for it, the processor's or the GPU's.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
    True
    """
    said = str(error).lower()
    words = ("can't allocate memory", "not enough memory", "cannot allocate memory", "unable to allocate")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or any(word in said for word in words)


@contextmanager
def enough_memory() -> Iterator[None]:
    """Answers a memory that is too small with one line: what it was too small for, and what to do.

    >>> with enough_memory():
    ...     torch.empty(2**55)
    Traceback (most recent call last):
    torch.OutOfMemoryError: there is not enough memory for batches of this size; take a smaller batch_size, ...
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise trouble("out_of_memory", torch.OutOfMemoryError) from error


@contextmanager
def modes_kept(model: torch.nn.Module) -> Iterator[None]:
    """Puts each part of the model back into the mode, training or not, in which it was before.

    >>> layer = torch.nn.Dropout()
    >>> with modes_kept(layer):
    ...     _ = layer.eval()
    >>> layer.training
    True
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """The model in evaluation mode; on leaving, each of its parts is back in the mode it was found in.

    >>> layer = torch.nn.Dropout().train()
    >>> with evaluating(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    with modes_kept(model), enough_memory():
        yield model.eval()


@contextmanager
def fresh_accelerator(precision: str | None) -> Iterator[Accelerator]:
    """An `Accelerator` with this precision, whatever the process used before; afterwards all is as it was.

    >>> with fresh_accelerator("bf16") as accelerator:
    ...     accelerator.mixed_precision
    'bf16'
    """
    connect()
    earlier = dict(AcceleratorState._shared_state)
    AcceleratorState._reset_state()
    try:
        accelerator = Accelerator(mixed_precision=precision, kwargs_handlers=[EXCHANGE])
        accelerator.sync_gradients = True
        yield accelerator
    finally:
        AcceleratorState._shared_state.clear()
        AcceleratorState._shared_state.update(earlier)


@contextmanager
def accelerator_for(model: PreTrainedModel, precision: str | None) -> Iterator[Accelerator]:
    """An `Accelerator` to train `model` with; afterwards the model is as before, but for its weights and its device.

    >>> layer = torch.nn.Dropout().eval()
    >>> with accelerator_for(layer, None) as accelerator:
    ...     _ = accelerator.prepare(layer).train()
    >>> layer.training
    False
    """
    patched = "forward" in vars(model)
    with fresh_accelerator(precision) as accelerator, modes_kept(model), enough_memory():
        try:
            yield accelerator
        finally:
            accelerator.unwrap_model(model, keep_fp32_wrapper=False)
            model.zero_grad()
            if not patched:
                vars(model).pop("forward", None)
