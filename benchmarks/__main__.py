"""`python -m benchmarks NAME ...` runs some benchmarks, `python -m benchmarks all` every one."""

import argparse
from importlib import import_module

from datasets import disable_progress_bars
from transformers.utils import logging

from benchmarks import figures

NAMES = {
    name: f"benchmarks.{name}"
    for name in ("train", "train22m", "predict", "tokenize", "load", "course", "processes", "serve")
} | {"import": "benchmarks.imports", "memory": "benchmarks.memory"}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Measure the package beside others.")
    parser.add_argument("names", nargs="+", choices=[*NAMES, "all"], metavar="NAME", help=f"all, {', '.join(NAMES)}")
    names = parser.parse_args(arguments).names
    disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    for name in NAMES if "all" in names else names:
        import_module(NAMES[name]).main()
    if "all" in names:
        figures.main()


if __name__ == "__main__":
    main()
