"""How much memory there is for this process, before something large is loaded."""

from contextlib import suppress
from pathlib import Path

import psutil

from ftcourse.engine.messages import trouble

GROUP = Path("/sys/fs/cgroup")


def free_memory(group: Path = GROUP) -> int:
    """Bytes that this process may still take: what the machine has left, or less where its container allows less.

    >>> free_memory() > 0
    True
    """
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no container, or no limit: "max" is no number
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        free = min(free, limit - used)
    return free


def check_memory(need: int, free: int | None = None) -> None:
    """Make sure that so many bytes are free; a `MemoryError` says both numbers.

    >>> check_memory(2_000_000_000, free=500_000_000)
    Traceback (most recent call last):
    MemoryError: this needs about 2.0 GB of memory, and 0.5 GB are free; ...
    """
    free = free_memory() if free is None else free
    if free < need:
        raise trouble("too_little_memory", MemoryError, need=f"{need / 1e9:.1f}", free=f"{free / 1e9:.1f}")
