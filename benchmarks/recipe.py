"""`train` beside the tutorials' recipe, which fills each row up to 512 tokens: so slow that few steps of it must do."""

from collections.abc import Iterator

from benchmarks.measure import ROUNDS, compare, report, take_turns
from benchmarks.train import kit_task
from benchmarks.train22m import task22m
from benchmarks.training import OURS, RECIPE, contestants


def main(rows: int = 40, fewer: int = 16, valid: int = 4, rounds: int = ROUNDS) -> None:
    def parts() -> Iterator[tuple[str, list[dict]]]:
        for name, task in {
            "kit encoder": kit_task("reviews", rows, valid),
            "BERT 6 × 384": task22m(fewer, valid),
        }.items():
            results = take_turns(contestants(task, [OURS, RECIPE]), rounds)
            yield f"{name}, {len(task.train_data)} reviews", compare(results, OURS)

    report("recipe", parts())
