"""The tables and pictures of the README, from what the benchmarks wrote to build/bench."""

import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks import predict, training
from benchmarks.few import FROZEN, PAIRS, SETFIT
from benchmarks.few_long import MANY
from benchmarks.measure import results_of
from benchmarks.memory import ROWS, TIMES
from benchmarks.pictures import draw_few, draw_growth

README = Path(__file__).parent / "README.md"
KIT, LARGE = "kit encoder", "BERT 6 × 384"
UNMEASURED = "not measured"


@dataclass(frozen=True)
class Figure:
    """A figure of the README: what it is, where it stands, and what was promised; a `unit` stands behind it."""

    what: str
    benchmark: str
    part: str  # the beginning of its name
    row: str
    at_least: float | None = None
    at_most: float | None = None
    value: str = "ratio"
    unit: str = ""

    @property
    def promised(self) -> str:
        """The bar in words.

        >>> Figure("", "", "", "", at_most=1.1).promised
        'at most 1.1'
        """
        if self.at_most is not None:
            return f"at most {self.at_most:g}{self.unit}"
        return "" if self.at_least is None else f"{self.at_least:g}{self.unit}"


def for_both(what: str, small: tuple[str, str], large: tuple[str, str], row: str, bar: float | None) -> list[Figure]:
    """The same figure for the kit's encoder and for the larger BERT."""
    return [
        Figure(f"{what}, {title}", benchmark, part, row, bar)
        for title, (benchmark, part) in (("kit encoder", small), ("BERT 6 × 384", large))
    ]


TRAIN = ("train", KIT), ("train22m", LARGE)
RECIPE = ("recipe", KIT), ("recipe", LARGE)
PREDICT = ("predict", "kit stars"), ("predict", LARGE)
INT8 = ("predict", "int8, kit stars"), ("predict", f"int8, {LARGE}")
FIGURES = [
    *for_both("`train` / `Trainer` by default", *TRAIN, training.DEFAULTS, 1.8),
    *for_both("`train` / `Trainer` at its best", *TRAIN, training.BEST, 1.25),
    *for_both("`train` / the tutorials' recipe", *RECIPE, training.RECIPE, 12),
    *for_both("`train` / limit with AdamW", *TRAIN, training.STEPPED, 0.97),
    *for_both("`train` / limit without optimizer", *TRAIN, training.LIMIT, 0.9),
    Figure("`train` / naive loop, kit encoder", *TRAIN[0], training.NAIVE),
    Figure("`train` / Keras `fit`, kit encoder", *TRAIN[0], training.KERAS),
    *for_both("`predict` / `pipeline` by default", *PREDICT, predict.ONE, 6),
    *for_both("`predict` / `pipeline(batch_size=32)`", *PREDICT, predict.MANY, 2.5),
    *for_both("`predict` / limit", *PREDICT, predict.LIMIT, 0.95),
    *for_both("int8 `predict` / float32 `pipeline(batch_size=32)`", *INT8, predict.MANY, 4),
    Figure("`predict` / ONNX Runtime, batches of 32, kit stars", *PREDICT[0], predict.ONNX),
    Figure("2 processes / 1 process", "processes", "", "1 process", 1.75),
    Figure("peak memory at 100 times the rows, `train`", "memory", "train", f"{TIMES * ROWS:,} rows", at_most=1.1),
    Figure("the same, `predict`", "memory", "predict", f"{TIMES * ROWS:,} rows", at_most=1.1),
    Figure("accuracy, `train` less `Trainer`", "accuracy", "", training.DEFAULTS, -1, value="points", unit=" points"),
    Figure("100 labels: full tuning less frozen vectors", "few", "", FROZEN, 0, value="points", unit=" points"),
    *(
        Figure(f"100 labels: full tuning less {name}", benchmark, "", name, 0, value="points", unit=" points")
        for benchmark, name in (("few", SETFIT.format(PAIRS)), ("few_long", SETFIT.format(MANY)))
    ),
]


def verdict(row: dict, figure: Figure) -> str:
    """Whether a figure keeps what was promised. It is missed only where its whole interval is on the wrong side; where
    the median is, but the interval is not, that cannot be told, and "≈" says so.

    >>> bar = Figure("", "", "", "", at_least=1.8)
    >>> [verdict({"ratio": middle, "low": low, "high": high}, bar) for low, middle, high in
    ...  [(1.7, 1.9, 2), (1.6, 1.7, 1.9), (1.5, 1.6, 1.7)]]
    ['✓', '≈', 'missed']
    """
    value, low, high = row[figure.value], row["low"], row["high"]
    if figure.at_most is not None:
        return "missed" if low > figure.at_most else "✓" if value <= figure.at_most else "≈"
    if figure.at_least is None:
        return ""
    return "missed" if high < figure.at_least else "✓" if value >= figure.at_least else "≈"


def found(results: dict, figure: Figure) -> dict | None:
    """The row of one table that a figure stands in; None where nobody measured it."""
    for name, rows in results.get(figure.benchmark, {}).get("parts", {}).items():
        if name.startswith(figure.part):
            return next((row for row in rows if row["name"] == figure.row), None)
    return None


def figure_cells(results: dict, figure: Figure) -> list[str]:
    """One line of the table: what, promised, measured, interval, verdict; or why there is no figure."""
    row = found(results, figure)
    if row is None or figure.value not in row:
        return [figure.what, figure.promised, (row or {}).get("note", UNMEASURED).split(":")[0], "", ""]
    sign = "+" if figure.value == "points" else ""
    digits = 1 if figure.value == "points" or abs(row[figure.value]) >= 10 else 2
    numbers = [f"{row[key]:{sign}.{digits}f}" for key in (figure.value, "low", "high")]
    return [figure.what, figure.promised, numbers[0], f"{numbers[1]} to {numbers[2]}", verdict(row, figure)]


def digits_of(seconds: float) -> str:
    """Seconds with three digits; from a thousand on with all.

    >>> digits_of(0.58749), digits_of(2003.15)
    ('0.587', '2,003')
    """
    return f"{seconds:,.0f}" if seconds >= 1000 else f"{seconds:.3g}"


def markdown(heads: list[str], lines: list[list[str]]) -> str:
    """A table in Markdown.

    >>> print(markdown(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    rule = "|" + "---|" * len(heads)
    return "\n".join([f"| {' | '.join(heads)} |", rule, *(f"| {' | '.join(cells)} |" for cells in lines)])


def where(results: dict) -> str:
    """A line on date, machine and versions, those of the latest benchmark."""
    machine = max((content["machine"] for content in results.values()), key=lambda machine: machine["date"])
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    place = machine["gpu"] or f"{machine['processor']} ({machine['instructions']}), {machine['cores']} cores"
    return f"{machine['date']}, {place}, {machine['threads']} threads; {versions}."


def figures(results: dict) -> str:
    """All figures as a table, under a line about machine and date."""
    lines = [figure_cells(results, figure) for figure in FIGURES]
    return f"{where(results)}\n\n" + markdown(["ratio", "at least", "measured", "90 % interval", ""], lines)


def missed(results: dict) -> list[str]:
    """A line for each bar that was missed."""
    cells = [figure_cells(results, figure) for figure in FIGURES]
    return [
        f"{what}: {value} ({spread}); promised: {bar}" for what, bar, value, spread, said in cells if said == "missed"
    ]


def peers(results: dict) -> str:
    """A table for each benchmark in which others take part: seconds, how many times as long, accuracy."""
    tables = []
    for benchmark in ("train", "train22m", "recipe", "train_pairs", "predict"):
        for title, rows in results.get(benchmark, {}).get("parts", {}).items():
            if title.startswith("int8"):
                continue
            heads = [f"`{benchmark.removesuffix('22m').split('_')[0].replace('recipe', 'train')}`, {title}"]
            scored = any("accuracy" in row for row in rows)
            heads += ["seconds", "times as long as ftcourse", *(["accuracy, %"] if scored else [])]
            tables.append(markdown(heads, [peer_cells(row, scored) for row in rows]))
    return "\n\n".join(tables)


def peer_cells(row: dict, scored: bool) -> list[str]:
    """A contestant's line: median seconds, ratio with its interval, accuracy; or why it has none.

    >>> peer_cells({"name": "Keras fit", "note": "not installed: pip install keras"}, scored=True)
    ['Keras fit', 'not installed', '', '']
    """
    more = [f"{100 * row['accuracy']:.1f}" if "accuracy" in row else ""] if scored else []
    if "note" in row:
        return [row["name"], row["note"].split(":")[0], "", *more]
    ratio = f"{row['ratio']:.2f} ({row['low']:.2f} to {row['high']:.2f})" if "ratio" in row else ""
    return [row["name"], digits_of(row["seconds"]), "1" if row.get("low") == row.get("high") == 1 else ratio, *more]


def few_rows(results: dict) -> list[dict]:
    """The methods for few labels, from the short and the long benchmark, each once, the most accurate first."""
    rows = {}
    for name in ("few_long", "few"):
        for part in results.get(name, {}).get("parts", {}).values():
            rows |= {row["name"]: row for row in part}
    return sorted(rows.values(), key=lambda row: -row.get("accuracy", 0))


def few(results: dict) -> str:
    """Seconds and accuracy with few labels, as a table, under a line about date and machine of their own."""
    lines, sources = [], {name: results[name] for name in ("few", "few_long") if name in results}
    for row in few_rows(results):
        if "note" in row:
            lines.append([row["name"], row["note"].split(":")[0], "", "", ""])
            continue
        scores = [100 * run["accuracy"] for run in row["runs"]]
        points = f"{row['points']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f})" if row.get("points") else ""
        spread = f"{min(scores):.1f} to {max(scores):.1f}"
        lines.append([row["name"], digits_of(row["seconds"]), f"{100 * row['accuracy']:.1f}", spread, points])
    heads = ["method", "seconds", "accuracy, %", "of the seeds", "full tuning is better by, points"]
    picture = "![Seconds of training against accuracy, a point a method](few.svg)"
    return f"{where(sources)}\n\n{markdown(heads, lines)}\n\n{picture}"


def growth_points(results: dict) -> dict[str, list[dict]]:
    """All points of the curves, of the short and the long benchmark; those of processes from their own."""
    points = {}
    for name in ("growth", "growth_long"):
        for axis, rows in results.get(name, {}).get("parts", {}).items():
            points.setdefault(axis, []).extend(rows)
    for rows in results.get("processes", {}).get("parts", {}).values():
        points["processes"] = [
            {"work": "train", "amount": int(row["name"].split()[0]), "seconds": row["seconds"]}
            for row in rows
            if "seconds" in row
        ]
    return {axis: sorted(rows, key=lambda row: (row["work"], row["amount"])) for axis, rows in points.items() if rows}


AXES = {
    "rows": ("rows", "seconds"),
    "tokens": ("tokens a text", "seconds for 1,000 texts"),
    "labels": ("labels", "seconds for 1,000 texts"),
    "threads": ("threads", "seconds for 1,000 texts"),
    "processes": ("processes", "seconds"),
}


def growth(results: dict) -> str:
    """Seconds and memory as the work grows: a table an axis, a column a work."""
    tables, points = [], growth_points(results)
    for axis in (axis for axis in AXES if axis in points):
        works = [work for work in ("clean", "train", "predict") if any(row["work"] == work for row in points[axis])]
        head, unit = AXES[axis]
        by = {(row["work"], row["amount"]): row for row in points[axis]}
        memory = any("megabytes" in row for row in points[axis])
        heads = [head, *(f"`{work}`, {unit}" for work in works), *(f"`{work}`, MB" for work in works if memory)]
        lines = []
        for amount in sorted({row["amount"] for row in points[axis]}):
            rows = [by.get((work, amount), {}) for work in works]
            seconds = [digits_of(row["seconds"]) if "seconds" in row else row.get("note", "") for row in rows]
            peaks = [f"{row['megabytes']:,.0f}" if "megabytes" in row else "" for row in rows if memory]
            lines.append([f"{amount:,}", *seconds, *peaks])
        tables.append(markdown(heads, lines))
    return "\n\n".join([*tables, "![Seconds and memory as the work grows](growth.svg)"])


BLOCKS = {
    "figures": (figures, {figure.benchmark for figure in FIGURES}),
    "peers": (peers, {"train", "train22m", "recipe", "train_pairs", "predict"}),
    "few": (few, {"few", "few_long"}),
    "growth": (growth, {"growth", "growth_long"}),
}


def filled(text: str, results: dict) -> str:
    """The README with its tables made anew; a block of which nothing was measured stays as it is.

    >>> filled("<!-- few -->\\nold\\n<!-- /few -->", {})
    '<!-- few -->\\nold\\n<!-- /few -->'
    """
    for name, (make, sources) in BLOCKS.items():
        if not {*results} & sources:
            continue
        marked = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.S)
        assert marked.search(text), f"the README has no place for {name}"
        made = make(results).replace("\\", r"\\")
        text = marked.sub(f"\n{made}\n\n", text)
    return text


def main(folder: Path = README.parent) -> None:
    """Writes tables and pictures into the README's folder, and prints the bars that are missed."""
    results, file = results_of(), folder / "README.md"
    file.write_text(filled(file.read_text(encoding="utf-8"), results), encoding="utf-8")
    if rows := few_rows(results):
        title = next(iter(results.get("few", results.get("few_long"))["parts"]))
        draw_few(rows, title, folder / "few.svg")
    if {"growth", "growth_long"} & {*results}:  # two numbers of processes alone are no curve
        draw_growth(growth_points(results), folder / "growth.svg")
    lines = missed(results)
    print("\n".join(["\nbars missed:", *lines] if lines else ["\nno bar is missed"]), flush=True)


if __name__ == "__main__":
    main()
