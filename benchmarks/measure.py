"""Measuring side by side: contestants take turns in one run, and medians are compared."""

import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch

FOLDER = Path("build/bench")
LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "onnxruntime", "keras")

Contestant = Callable[[int], Callable[[], dict[str, float] | None]]


def take_turns(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Runs all contestants in each round, the first one moving to the end of the queue, and notes seconds and scores.

    A contestant gets the number of the round as its seed, prepares itself, and returns the work that is timed.

    >>> results = take_turns({"a": lambda seed: lambda: {"score": seed}, "b": lambda seed: dict}, rounds=2)
    >>> [result["score"] for result in results["a"]]
    [0, 1]
    """
    results = {name: [] for name in contestants}
    order = list(contestants)
    for seed in range(rounds):
        for name in order:
            work = contestants[name](seed)
            started = time.perf_counter()
            scores = work() or {}
            results[name].append({"seconds": time.perf_counter() - started, **scores})
        order = order[1:] + order[:1]
    return results


def compare(results: dict[str, list[dict[str, float]]], ours: str) -> list[dict[str, object]]:
    """One row a contestant: median seconds, how many times as long as `ours` that is, and the mean of each score.

    >>> compare({"ours": [{"seconds": 1}], "theirs": [{"seconds": 3}]}, "ours")[1]
    {'name': 'theirs', 'seconds': 3, 'ratio': 3.0}
    """
    rows = []
    medians = {name: statistics.median(run["seconds"] for run in runs) for name, runs in results.items()}
    for name, runs in results.items():
        scores = {key: statistics.mean(run[key] for run in runs) for key in runs[0] if key != "seconds"}
        rows.append({"name": name, "seconds": medians[name], "ratio": medians[name] / medians[ours], **scores})
    return rows


def machine() -> dict[str, object]:
    """What the figures depend on, apart from the code."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    installed = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": models[0] if models else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: installed[name] for name in LIBRARIES if name in installed},
    }


def as_text(value: object) -> str:
    """A cell of the table.

    >>> as_text(3.14159), as_text("train")
    ('3.142', 'train')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(rows: list[dict[str, object]]) -> str:
    """The rows as text, with the keys as heads; a row may lack some.

    >>> print(table([{"name": "ours", "ratio": 1.0}, {"name": "theirs", "ratio": 2.5}]))
    name    ratio
    ours    1
    theirs  2.5
    """
    heads = list(dict.fromkeys(key for row in rows for key in row))
    cells = [heads, *([as_text(row.get(head, "")) for head in heads] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def report(name: str, parts: dict[str, list[dict[str, object]]]) -> None:
    """Prints one table a part, and writes all of them with the machine to build/bench/NAME.json."""
    for title, rows in parts.items():
        print(f"\n{name}: {title}\n{table(rows)}", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    content = {"benchmark": name, "machine": machine(), "parts": parts}
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
