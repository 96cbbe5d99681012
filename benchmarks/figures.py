"""The table of figures in the README, from what the benchmarks wrote to build/bench."""

import json
import re
from pathlib import Path

from benchmarks.measure import FOLDER

README = Path(__file__).parent / "README.md"
REVIEWS, PAIRS, LARGE = "reviews, 480 rows", "pairs, 480 rows", "reviews, 96 rows"

# what, benchmark, beginning of the part's name, row, at least (a negative number: at most)
FIGURES = [
    ("`train` / `Trainer` defaults, kit encoder, reviews", "train", REVIEWS, "Trainer, defaults", 1.6),
    ("the same, pairs", "train", PAIRS, "Trainer, defaults", 1.6),
    ("`train` / `Trainer` at its best, kit encoder, reviews", "train", REVIEWS, "Trainer, at its best", 1.1),
    ("the same, pairs", "train", PAIRS, "Trainer, at its best", 1.1),
    ("the same, 22 M BERT", "train22m", LARGE, "Trainer, at its best", 1.1),
    ("`train` / the tutorials' recipe, 22 M BERT", "train22m", "16 rows", "tutorials' recipe", 8),
    ("`train` / naive loop, kit encoder, reviews", "train", REVIEWS, "naive loop", None),
    ("`train` / Keras `fit`, kit encoder, reviews", "train", REVIEWS, "Keras fit", None),
    ("`train` / limit, kit encoder, reviews", "train", REVIEWS, "limit", 0.93),
    ("the same, 22 M BERT", "train22m", LARGE, "limit", 0.93),
    ("`predict` / `pipeline` by default", "predict", "", "pipeline, default", 6),
    ("`predict` / `pipeline(batch_size=32)`", "predict", "", "pipeline, batch_size=32", 1.8),
    ("`predict` / ONNX Runtime, batches of 32", "predict", "", "ONNX Runtime, batches of 32", None),
    ("`predict` / limit", "predict", "", "limit", 0.93),
    ("2 processes / 1 process", "processes", "", "1 process", 1.7),
    ("peak memory at 100× rows / 1×, `train`", "memory", "train", "50,000 rows", -1.1),
    ("the same, `predict`", "memory", "predict", "50,000 rows", -1.1),
]


def verdict(ratio: float, bar: float | None) -> str:
    """Whether a figure keeps what was promised.

    >>> verdict(1.7, 1.6), verdict(1.2, -1.1), verdict(3, None)
    ('✓', 'missed', '')
    """
    if bar is None:
        return ""
    return "✓" if (ratio >= bar if bar > 0 else ratio <= -bar) else "missed"


def found(results: dict, benchmark: str, part: str, row: str) -> float | None:
    """The ratio in one row of one table; None where nobody measured it."""
    parts = results.get(benchmark, {}).get("parts", {})
    for name, rows in parts.items():
        if name.startswith(part):
            return next((entry["ratio"] for entry in rows if entry["name"] == row), None)
    return None


def figures(results: dict) -> str:
    """All figures as a table in Markdown, under a line about machine and date."""
    machine = next(iter(results.values()))["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = machine["gpu"] or f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores"
    lines = [f"{machine['date']}, {where}, {machine['threads']} threads; {versions}.", ""]
    lines += ["| ratio | at least | measured | |", "|---|---|---|---|"]
    for what, benchmark, part, row, bar in FIGURES:
        ratio = found(results, benchmark, part, row)
        wanted = "" if bar is None else f"{bar:g}" if bar > 0 else f"at most {-bar:g}"
        if ratio is not None:
            lines.append(f"| {what} | {wanted} | {ratio:.2f} | {verdict(ratio, bar)} |")
    return "\n".join([*lines, accuracy(results["train"]["parts"])])


def accuracy(parts: dict) -> str:
    """The line about the accuracy that the speed has to keep."""
    part = "reviews, 1,000 rows, 3 epochs, 3 seeds"
    scores = {row["name"]: 100 * row["accuracy"] for row in parts[part]}
    ours, theirs = scores["ftcourse"], scores["Trainer, defaults"]
    near = "✓" if ours > theirs - 1 else "missed"
    return f"| accuracy, {part} | within 1 point | {ours:.1f}, `Trainer` {theirs:.1f} | {near} |"


def main() -> None:
    """Writes the table into the README."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}
    text = README.read_text(encoding="utf-8")
    marked = re.compile(r"(?<=<!-- figures -->\n).*?(?=<!-- /figures -->)", re.S)
    assert marked.search(text), "the README has no place for figures"
    README.write_text(marked.sub(lambda _: f"\n{figures(results)}\n\n", text), encoding="utf-8")


if __name__ == "__main__":
    main()
