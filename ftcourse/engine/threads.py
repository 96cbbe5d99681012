"""Work in threads: the next item while one is looked at, or several items at once, each on cores of its own."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, partial

import torch


@contextmanager
def ahead(work: Callable, items: Iterable, threads: int = 1, begin: Callable = int) -> Iterator[Iterator]:
    """What `work` makes of each item, in their order; while one is looked at, threads work on the next ones.

    `begin` is what each thread does first. On leaving the threads are gone, whatever happened. What `work` raises is
    raised where its result would have come.

    >>> with ahead(len, ["a", "bc"]) as lengths:
    ...     [*lengths]
    [1, 2]
    """

    def results() -> Iterator:
        jobs = []
        for item in items:
            jobs.append(pool.submit(work, item))
            if len(jobs) > threads:
                yield jobs.pop(0).result()
        for job in jobs:
            yield job.result()

    with ThreadPoolExecutor(threads, "ahead", begin) as pool:
        try:
            yield results()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def apart(work: Callable, items: Iterable, threads: int) -> Iterator[Iterator]:
    """As `ahead`, in so many threads; PyTorch shares its cores out among what they do.

    >>> torch.set_num_threads(2)
    >>> with apart(lambda item: torch.get_num_threads(), range(3), 2) as cores:
    ...     [*cores]
    [1, 1, 1]
    """
    number = torch.get_num_threads()
    try:
        with ahead(work, items, threads, partial(torch.set_num_threads, max(number // threads, 1))) as found:
            yield found
    finally:
        torch.set_num_threads(number)  # of this thread it still is; of those that come, it is again


@cache
def by_thread() -> bool:
    """Whether each thread can have its own number of cores: so it is with OpenMP, which PyTorch has nearly everywhere.

    >>> by_thread() in (True, False)
    True
    """
    return "parallel backend: OpenMP" in torch.__config__.parallel_info()


AT_ONCE = 8  # batches: more would wait for Python, which runs in one thread at a time
BY_LENGTH = ("dynamic", "longrope")  # positions that a model works out anew, and keeps, for the batch that it reads


def batches_at_once(model: torch.nn.Module) -> int:
    """How many batches may go through a model at once, each on cores of its own: 1 where all cores share each batch.

    More are faster, since cores that share a batch wait for each other after every operation. Not so on a graphics
    card, for a compiled model, for one that keeps something of a batch while it reads it, and where hooks listen, which
    may count on one batch at a time.

    >>> batches_at_once(torch.nn.Linear(1, 1)) <= torch.get_num_threads()
    True
    >>> layer = torch.nn.Linear(1, 1)
    >>> _ = layer.register_forward_hook(print)
    >>> batches_at_once(layer)
    1
    """
    alone = any(
        part._forward_hooks
        or part._forward_pre_hooks
        or part._compiled_call_impl
        or hasattr(part, "_hf_hook")
        or hasattr(part, "_orig_mod")
        or any(kind in str(getattr(part, "rope_type", "")) for kind in BY_LENGTH)
        for part in model.modules()
    )
    weight = next(model.parameters(), None)
    if alone or weight is None or weight.device.type != "cpu" or not by_thread():
        return 1
    return min(torch.get_num_threads(), AT_ONCE)


def spare_cores(device: torch.device) -> bool:
    """Whether there are processor cores that a model on this device leaves alone.

    >>> spare_cores(torch.device("meta"))
    True
    """
    free = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return device.type != "cpu" or free > torch.get_num_threads()
