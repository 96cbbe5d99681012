"""Points of a curve, each measured in a fresh process of its own: what it took in seconds and, at its peak, in memory.
The processes come from a server that has imported the libraries and done nothing else, so that they start at once."""

import multiprocessing
import re
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path

LIBRARIES = ["torch", "transformers", "datasets", "accelerate", "sklearn", "ftcourse.loop", "ftcourse.inference"]


def own_peak() -> float:
    """Peak of this process in megabytes. Linux counts in `ru_maxrss` what the parent had, so it is asked otherwise.

    >>> own_peak() > 1
    True
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def inside(sender: Connection, function: Callable, arguments: tuple, threads: int | None) -> None:
    """What the process of a point does: runs the function, and sends what it took, or what went wrong.

    A function that wants only a part of itself to be timed returns the seconds of it.
    """
    import torch
    from datasets import disable_progress_bars
    from transformers.utils import logging

    from ftcourse.engine.shards import end_with

    # a benchmark that is killed takes the process of its point along
    watch = multiprocessing.parent_process().sentinel
    threading.Thread(target=end_with, args=[watch], daemon=True).start()
    disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        if threads:
            torch.set_num_threads(threads)
        started, used = time.perf_counter(), time.process_time()
        seconds = function(*arguments)
        taken = time.perf_counter() - started if seconds is None else seconds
        found = {"seconds": taken, "processor": time.process_time() - used, "megabytes": own_peak()}
    except BaseException as error:
        traceback.print_exc(file=sys.stderr)
        found = {"note": f"failed: {type(error).__name__}: {error}".split("\n")[0][:200]}
    sender.send(found)


def point(
    function: Callable, *arguments: object, threads: int | None = None, patience: float = 600
) -> dict[str, float | str]:
    """Seconds, of the clock and of the processor, and the peak in megabytes of a function in a process of its own; a
    note in their place where it fails, is killed, or takes longer than `patience` seconds. `threads` are PyTorch's.

    >>> sorted(point(len, "abc"))
    ['megabytes', 'processor', 'seconds']
    >>> point(int, "abc")["note"]
    "failed: ValueError: invalid literal for int() with base 10: 'abc'"
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=inside, args=(sender, function, arguments, threads))
    process.start()
    sender.close()
    try:
        if not wait([receiver], patience):
            return {"note": f"stopped after {patience:g} seconds"}
        found = receiver.recv()
        process.join(30)  # to end as it likes
        return found
    except EOFError:
        process.join()
        return {"note": f"killed (exit status {process.exitcode})"}
    finally:
        process.kill()
        process.join()
        receiver.close()
