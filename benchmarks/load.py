"""Loading the kit's data sets, from the cache that `load_dataset` keeps, and reading the files alone."""

from pathlib import Path

import pyarrow.parquet as parquet
from datasets import load_dataset

from benchmarks.measure import compare, report, take_turns
from ftcourse.kit import Kit

NAMES = ("reviews", "films", "pairs")


def main() -> None:
    parts = {}
    for name in NAMES:
        folder, lang = Kit().dataset(name)
        load_dataset(folder, lang)
        files = sorted(Path(folder, lang).glob("*.parquet"))
        contestants = {
            "load_dataset(*Kit().dataset(name))": lambda seed, name=name: lambda: load(name),
            "parquet files alone": lambda seed, files=files: lambda: read(files),
        }
        results = take_turns(contestants)
        parts[name] = compare(results, "load_dataset(*Kit().dataset(name))")
    report("load", parts)


def load(name: str) -> dict[str, float]:
    return {"rows": sum(len(split) for split in load_dataset(*Kit().dataset(name)).values())}


def read(files: list[Path]) -> dict[str, float]:
    return {"rows": sum(parquet.read_table(file).num_rows for file in files)}
