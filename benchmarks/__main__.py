"""`python -m benchmarks NAME ...` runs some benchmarks, `all` those of `make bench`, `long` those of `make bench-long`.
Each of several has a process of its own, so that none disturbs another; then the figures go into the README."""

import argparse
import gc
import os
import subprocess
import sys
import time
from importlib import import_module

# Seconds on two quiet cores: a budget that a benchmark keeps, and not a limit. All of `BENCH` together: 20 minutes.
BENCH = {
    "train": 190,
    "train22m": 115,
    "recipe": 210,
    "predict": 170,
    "processes": 85,
    "memory": 75,
    "accuracy": 90,
    "few": 195,
    "growth": 70,
}
LONG = {
    "train_pairs": 150,
    "few_long": 600,
    "growth_long": 4500,
    "tokenize": 60,
    "load": 20,
    "import": 120,
    "serve": 450,
    "course": 900,
}
MODULES = {"import": "imports"}


def run_here(name: str) -> None:
    """One benchmark, in this process."""
    from datasets import disable_progress_bars
    from transformers.utils import logging

    disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    benchmark = import_module(f"benchmarks.{MODULES.get(name, name)}")
    gc.freeze()  # what was imported stays: so a collection between two runs takes no second
    benchmark.main()


def run_apart(names: dict[str, int]) -> None:
    """Some benchmarks, each in a process of its own; one that fails is told at the end, and the others go on."""
    failed, begun = [], time.monotonic()
    for name, budget in names.items():
        started = time.monotonic()
        if subprocess.run([sys.executable, "-m", "benchmarks", name]).returncode:
            failed.append(name)
        print(f"{name}: {time.monotonic() - started:.0f} seconds; its budget is {budget}", flush=True)
    print(f"all: {time.monotonic() - begun:.0f} seconds; the budget is {sum(names.values())}", flush=True)
    for name in failed:
        print(f"failed: {name}")


def main(arguments: list[str] | None = None) -> None:
    known = [*BENCH, *LONG, "gpu", "figures"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the package beside others.")
    help_text = f"all, long, or some of {', '.join(known)}"
    parser.add_argument("names", nargs="+", choices=[*known, "all", "long"], metavar="NAME", help=help_text)
    names = parser.parse_args(arguments).names
    if threads := os.environ.get("OMP_NUM_THREADS"):
        print(f"OMP_NUM_THREADS is {threads}: the bars are set for all cores; unset it to measure these", flush=True)
    groups = {"all": BENCH, "long": LONG}
    for name in names:
        if name in groups:
            run_apart(groups[name])
            run_here("figures")
        else:
            run_here(name)


if __name__ == "__main__":
    main()
