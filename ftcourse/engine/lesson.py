"""How a lesson begins: the same numbers on every machine, no progress bars, and its pictures and exercises at hand."""

import warnings

import datasets
import torch
import transformers

from ftcourse.engine.messages import use_language
from ftcourse.engine.plots import Pictures
from ftcourse.exercises import Checker

NUM_THREADS = 2  # more would add up in another order, and round otherwise


def begin(lang: str, chapter: str) -> tuple[Pictures, Checker]:
    """What shows a chapter's pictures and what checks its exercises; PyTorch on two threads, the libraries quiet.

    From now on, the package answers in the language.

    >>> show, check = begin("en", "00_start")
    >>> torch.get_num_threads()
    2
    """
    use_language(lang)
    torch.set_num_threads(NUM_THREADS)
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore", "`(is_)?gradient_checkpointing`", FutureWarning)  # PEFT and TRL use the old name
    return Pictures(lang, chapter), Checker(lang, chapter)
