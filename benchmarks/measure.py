"""Measuring side by side: contestants take turns in one run, and their times are compared round by round."""

import gc
import json
import math
import os
import platform
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from ftcourse.engine.folders import written_whole

FOLDER = Path("build/bench")
LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "onnxruntime", "keras", "setfit", "scikit-learn")
MODULES = {"scikit-learn": "sklearn"}
ROUNDS, FEW = 9, 3  # FEW: of those who are there for comparison, without a bar
FORMAT = 2  # of the JSON; figures leave out what an older version wrote

Contestant = Callable[[int], Callable[[], dict[str, float] | None]]
Runs = list[dict[str, float]]


class NotInstalled(Exception):
    """A rival that runs only where its package is installed, and here is not."""


def missing(package: str) -> Contestant:
    """A contestant in the place of one whose package is not installed; it is reported as such.

    >>> missing("setfit")(0)
    Traceback (most recent call last):
    benchmarks.measure.NotInstalled: not installed: pip install setfit
    """

    def contestant(seed: int):
        raise NotInstalled(f"not installed: pip install {package}")

    return contestant


def one_run(contestant: Contestant, seed: int) -> dict[str, float]:
    """The seconds by the clock and of the processor, in all threads, that a prepared contestant takes; its scores.

    >>> one_run(lambda seed: lambda: {"score": seed}, 7)["score"]
    7
    """
    work = contestant(seed)
    gc.collect()
    started, used = time.perf_counter(), time.process_time()
    scores = work() or {}
    return {"seconds": time.perf_counter() - started, "processor": time.process_time() - used, **scores}


def take_turns(
    contestants: dict[str, Contestant], rounds: int = ROUNDS, beside: Collection[str] = ()
) -> dict[str, Runs | str]:
    """Runs all contestants once a round and notes seconds and scores. The first one moves to the end of the queue, and
    every other round goes backwards: so nobody always has the same one before it, which leaves the caches as they are.

    A contestant gets the number of the round as its seed, prepares itself, and returns the work that is timed. Of one
    that fails, the others lose nothing: it leaves, and what it said stands in the place of its runs. Those `beside` the
    race leave after three rounds.

    >>> results = take_turns({"a": lambda seed: lambda: {"score": seed}, "b": lambda seed: dict}, rounds=2)
    >>> [result["score"] for result in results["a"]]
    [0, 1]
    >>> take_turns({"a": lambda seed: dict, "b": missing("b")}, rounds=2)["b"]
    'not installed: pip install b'
    """
    results = {name: [] for name in contestants}
    order = list(contestants)
    for seed in range(rounds):
        if seed == FEW:
            order = [name for name in order if name not in beside]
        for name in order[:: -1 if seed % 2 else 1]:
            try:
                results[name].append(one_run(contestants[name], seed))
            except NotInstalled as error:
                results[name] = str(error)
            except Exception as error:
                traceback.print_exc(file=sys.stderr)
                results[name] = f"failed: {type(error).__name__}: {error}".split("\n")[0][:200]
            if isinstance(results[name], str):
                order.remove(name)
        order = order[1:] + order[:1]
    return results


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Two of the values, between which their median lies with a probability of at least 90 %, whatever the values'
    distribution: of nine the second and the eighth (96 %). Too few for that (below five) give the least and largest.

    >>> interval([9, 1, 8, 2, 7, 3, 6, 4, 5])
    (2, 8)
    """
    ordered, out = sorted(values), 0
    outside = 1.0  # twice the probability that at most `out` of so many values lie below the median
    while True:
        outside = 2 * sum(math.comb(len(ordered), below) for below in range(out + 1)) / 2 ** len(ordered)
        if outside > 0.1:
            break
        out += 1
    out = max(out - 1, 0)
    return ordered[out], ordered[-1 - out]


def ratio_of(values: Sequence[float]) -> dict[str, float]:
    """The median of ratios, one a round, and its 90 % interval.

    >>> ratio_of([2.0] * 9)
    {'ratio': 2.0, 'low': 2.0, 'high': 2.0}
    """
    low, high = interval(values)
    return {"ratio": statistics.median(values), "low": low, "high": high}


def compare(results: dict[str, Runs | str], ours: str, of: str = "seconds") -> list[dict[str, object]]:
    """One row a contestant: median seconds, how many times as long as `ours` it took, as the median over the rounds
    with its interval, the mean of each score, and all runs. One that failed has what it said. `of` "megabytes"
    compares these.

    >>> rows = compare({"ours": [{"seconds": 1}], "theirs": [{"seconds": 3}], "other": "failed"}, "ours")
    >>> rows[1]
    {'name': 'theirs', 'seconds': 3, 'ratio': 3.0, 'low': 3.0, 'high': 3.0, 'runs': [{'seconds': 3}]}
    >>> rows[2]
    {'name': 'other', 'note': 'failed'}
    """
    rows, own = [], results[ours]
    for name, runs in results.items():
        if isinstance(runs, str):
            rows.append({"name": name, "note": runs})
            continue
        row = {"name": name, of: statistics.median(run[of] for run in runs)}
        if not isinstance(own, str):
            row |= ratio_of([run[of] / mine[of] for run, mine in zip(runs, own[: len(runs)], strict=True)])
        scores = {key for run in runs for key in run} - {"seconds", "processor", of}
        row |= {key: statistics.mean(run[key] for run in runs) for key in sorted(scores)}
        rows.append(row | {"runs": runs})
    return rows


def machine() -> dict[str, object]:
    """What the figures depend on, apart from the code."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": models[0] if models else platform.processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES if find_spec(MODULES.get(name, name))},
    }


def as_text(value: object) -> str:
    """A cell of the table.

    >>> as_text(3.14159), as_text("train")
    ('3.142', 'train')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(rows: list[dict[str, object]]) -> str:
    """The rows as text, with the keys as heads, but not their runs; a row may lack some.

    >>> print(table([{"name": "ours", "ratio": 1.0}, {"name": "theirs", "ratio": 2.5}]))
    name    ratio
    ours    1
    theirs  2.5
    """
    heads = list(dict.fromkeys(key for row in rows for key in row if key != "runs"))
    cells = [heads, *([as_text(row.get(head, "")) for head in heads] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells
    )


def report(name: str, parts: Mapping[str, list[dict]] | Iterable[tuple[str, list[dict]]]) -> None:
    """Prints one table a part, as soon as it is measured, and keeps all, with the machine, in build/bench/NAME.json.

    A part that comes again, with more rows, prints those.
    """
    FOLDER.mkdir(parents=True, exist_ok=True)
    file, content = FOLDER / f"{name}.json", {"benchmark": name, "format": FORMAT, "machine": machine(), "parts": {}}
    for title, rows in parts.items() if isinstance(parts, Mapping) else parts:
        print(f"\n{name}: {title}\n{table(rows[len(content['parts'].get(title, [])) :])}", flush=True)
        content["parts"][title] = [*rows]
        with written_whole(file) as part:
            part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def results_of(names: Iterable[str] | None = None) -> dict[str, dict]:
    """What the benchmarks wrote, by name; without what an older version of this module wrote.

    >>> results_of(["none"])
    {}
    """
    files = FOLDER.glob("*.json") if names is None else (FOLDER / f"{name}.json" for name in names)
    found = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(files) if file.exists()}
    return {name: content for name, content in found.items() if content.get("format") == FORMAT}
