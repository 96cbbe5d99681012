"""The processes of one `accelerate launch`, on one machine or several: they begin the same work, the first one writes
and speaks, and where one stops, the others end in one line."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from ftcourse.engine.messages import trouble

MARK = ".ftcourse.json"  # in a folder that a call of `finetune` has begun to fill
WAIT = timedelta(minutes=10)  # for a process that does not answer any more
LIBRARIES = ("ftcourse", "torch", "transformers", "accelerate", "datasets")
FSDP, DEEPSPEED = "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"  # what `accelerate launch` is configured for
SHARDED = "FTCOURSE_SHARDED"  # the first of these, in our words: the library would heed it in its own way
LOST = ("gloo", "nccl", "connection closed", "connection reset", "connection refused", "broken pipe", "timed out")


def process_number() -> int:
    """The number of this process among those that were launched together; 0 for one on its own.

    >>> process_number()
    0
    """
    return int(os.environ.get("RANK") or 0)


def several() -> bool:
    """Whether this process was launched together with others.

    >>> several()
    False
    """
    return int(os.environ.get("WORLD_SIZE") or 1) > 1


def connect() -> None:
    """Connect the processes: on their graphics cards or, where there are none, on the processors.

    Raises `ValueError` under DeepSpeed, which wants to lead the training itself.

    >>> connect()
    """
    if os.environ.get(DEEPSPEED, "").lower() in ("1", "true"):
        raise trouble("no_deepspeed")
    if os.environ.pop(FSDP, "").lower() in ("1", "true"):
        os.environ[SHARDED] = "true"
    if several():  # one process on its own, which may only lock a folder, needs none of these libraries
        import torch
        from accelerate import PartialState
        from accelerate.utils import parse_flag_from_env

        device = torch.accelerator.current_accelerator()
        if device is None or device.type == "mps":  # the library would leave each process alone, without a word
            os.environ.setdefault("ACCELERATE_USE_CPU", "true")
        PartialState(parse_flag_from_env("ACCELERATE_USE_CPU"), timeout=WAIT)


def wait_for_all() -> None:
    """Go on when all processes have come here.

    >>> wait_for_all()
    """
    if several():
        from accelerate import PartialState

        connect()
        PartialState().wait_for_everyone()


def as_the_first(value: object) -> object:
    """What the first process gives, in all of them: a decision that they must not make differently.

    >>> as_the_first(True)
    True
    """
    if not several():
        return value
    from accelerate.utils import broadcast_object_list

    return broadcast_object_list([value])[0]


def is_lost(error: BaseException) -> bool:
    """Whether something failed because another process is gone, or was never there.

    >>> is_lost(RuntimeError("[/gloo/transport/tcp/pair.cc:547] Connection closed by peer")), is_lost(RuntimeError("x"))
    (True, False)
    """
    named = any(kind.__name__ == "DistError" for kind in type(error).__mro__)
    return named or any(word in str(error).lower() for word in LOST)


@contextmanager
def together() -> Iterator[None]:
    """A `RuntimeError` in one line where another process of the launch is gone; on its own, a process is as ever.

    >>> with together():
    ...     raise RuntimeError("connection closed by peer")
    Traceback (most recent call last):
    RuntimeError: connection closed by peer
    """
    try:
        yield
    except RuntimeError as error:
        if not several() or not is_lost(error):
            raise
        raise trouble("lost_process", RuntimeError) from error


def check_alike(folder: Path, call: Mapping) -> None:
    """Make sure that all processes do the same in the same folder; a `ValueError` says in what this one differs.

    >>> check_alike(Path("model"), {"lr": 5e-4})
    """
    if not several():
        return
    wait_for_all()
    call = {name: version(name) for name in LIBRARIES} | {**call}
    first, there = as_the_first(call), (folder / MARK).exists()
    wait_for_all()  # before the first one may go on, fail and clear the folder away
    if not there:
        raise trouble("not_shared", folder=str(folder))
    for name in first:
        if first[name] != call.get(name):
            raise trouble("not_alike", name=name, was=first[name], given=call.get(name))
