"""Progress bars where somebody sees them, and libraries that keep quiet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from accelerate import Accelerator
from datasets import disable_progress_bars, enable_progress_bars, is_progress_bar_enabled
from datasets.utils import logging as datasets_logging
from tqdm.auto import tqdm
from transformers.utils import is_in_notebook, logging


def in_terminal() -> bool:
    """Whether the error output is a terminal; a program without a window, as of `pythonw`, has none at all.

    >>> in_terminal() in (True, False)
    True
    """
    return bool(sys.stderr and sys.stderr.isatty())


def watched() -> bool:
    """Whether somebody sees progress bars: in a notebook or a terminal, and not where they are switched off.

    >>> watched() in (True, False)
    True
    """
    return logging.is_progress_bar_enabled() and (is_in_notebook() or in_terminal())


def make_bar(num_steps: int, accelerator: Accelerator) -> tqdm:
    """A progress bar; not shown where nobody can see it, where it is switched off, and in all processes but one.

    >>> make_bar(10, Accelerator()).total
    10
    """
    return tqdm(total=num_steps, leave=False, disable=not (watched() and accelerator.is_main_process))


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """No reports on new weights, and progress bars only where somebody watches; afterwards all is as it was.

    >>> with quiet_libraries():
    ...     logging.get_verbosity() == logging.ERROR
    True
    """
    verbosity, bars, loading = logging.get_verbosity(), is_progress_bar_enabled(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    datasets_verbosity = datasets_logging.get_verbosity()
    datasets_logging.set_verbosity(datasets_logging.CRITICAL)
    if not watched():
        logging.disable_progress_bar()
        disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        datasets_logging.set_verbosity(datasets_verbosity)
        if loading:
            logging.enable_progress_bar()
        if bars:
            enable_progress_bars()


class Stopwatch:
    """Seconds by the name of what they were spent on.

    >>> watch = Stopwatch()
    >>> watch.lap("read")
    >>> [*watch.seconds]
    ['read']
    """

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Notes the time since the last lap."""
        now = time.perf_counter()
        self.seconds[name], self.last = now - self.last, now
