"""How a lesson begins: the same numbers on every machine, no progress bars, and its pictures and exercises at hand."""

import sys
import warnings
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

import datasets
import torch
import transformers

from ftcourse.engine.messages import trouble, use_language
from ftcourse.engine.plots import Pictures
from ftcourse.exercises import Checker

NUM_THREADS = 2  # more would add up in another order, and round otherwise
LOADED_EARLY = ("matplotlib", "numpy", "pandas")  # by Colab, before a cell is run


def check_session(names: Iterable[str] = LOADED_EARLY) -> None:
    """Make sure that no library was replaced by another version after it was loaded; a `RuntimeError` says which was.

    >>> check_session()
    """
    for name in names:
        loaded = getattr(sys.modules.get(name), "__version__", None)
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if loaded and loaded != installed:
            raise trouble("restart", RuntimeError, name=name, loaded=loaded, installed=installed)


def begin(lang: str, chapter: str) -> tuple[Pictures, Checker]:
    """What shows a chapter's pictures and what checks its exercises; PyTorch on two threads, the libraries quiet.

    From now on, the package answers in the language. A `RuntimeError` asks for a fresh session where this one has
    libraries of two versions.

    >>> show, check = begin("en", "00_start")
    >>> torch.get_num_threads()
    2
    """
    use_language(lang)
    check_session()
    torch.set_num_threads(NUM_THREADS)
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing`", FutureWarning)  # PEFT and TRL use the old name
    return Pictures(lang, chapter), Checker(lang, chapter)
