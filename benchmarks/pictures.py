"""The pictures of the README: what accuracy costs with few labels, and how seconds and memory grow with the work."""

from collections.abc import Iterable, Sequence
from pathlib import Path

COLOURS = {"clean": "#4a7c59", "train": "#1f5fa8", "predict": "#c8641b"}
STYLE = {
    "svg.fonttype": "none",  # letters stay letters: small, and sharp at any size
    "svg.hashsalt": "ftcourse",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
}


def save(figure, file: Path) -> None:
    """Writes a figure as SVG, the same bytes for the same figure."""
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")


def ticks_in_full(axis, values: Iterable[float], unit: str = "") -> None:
    """Marks an axis at these values only, with their numbers written out."""
    from matplotlib.ticker import NullFormatter, NullLocator

    values = sorted({*values})
    axis.set_major_locator(_fixed(values))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(lambda value, _: short(value) + unit)


def _fixed(values: Sequence[float]):
    from matplotlib.ticker import FixedLocator

    return FixedLocator(values)


def short(value: float) -> str:
    """A number as one says it.

    >>> short(0.01), short(3), short(5000), short(5_000_000)
    ('0.01', '3', '5,000', '5 million')
    """
    return f"{value / 1e6:g} million" if value >= 1e6 else f"{value:,.0f}" if value >= 1 else f"{value:g}"


def spread_out(heights: Sequence[float], gap: float) -> list[float]:
    """The heights again, moved up where two are nearer than `gap`, so that what is written there can be read.

    >>> spread_out([1.0, 1.5, 9.0], 1.0)
    [1.0, 2.0, 9.0]
    """
    moved, last = [*heights], None
    for place in sorted(range(len(heights)), key=heights.__getitem__):
        if last is not None and moved[place] < last + gap:
            moved[place] = last + gap
        last = moved[place]
    return moved


def draw_few(rows: list[dict], title: str, file: Path) -> None:
    """Seconds of training against accuracy, a point a method, with the range over the seeds."""
    import matplotlib.pyplot as plt

    rows = [row for row in rows if "accuracy" in row]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
        scores = [[100 * run["accuracy"] for run in row["runs"]] for row in rows]
        seconds, means = [row["seconds"] for row in rows], [100 * row["accuracy"] for row in rows]
        bottom, top = min(map(min, scores)), max(map(max, scores))
        heights = spread_out(means, (top - bottom) / 14)
        axes.set_xscale("log")
        for row, x, y, height, some in zip(rows, seconds, means, heights, scores, strict=True):
            own = row["name"] == "full tuning"
            colour = COLOURS["train"] if own else "#555555"
            axes.plot([x, x], [min(some), max(some)], color=colour, linewidth=1.5)
            axes.plot(x, y, "o", color=colour, markersize=8)
            right = x < max(seconds) ** 0.5 * min(seconds) ** 0.5
            axes.annotate(
                row["name"],
                (x, height),
                xytext=(9 if right else -9, 0),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                color=colour,
                fontweight="bold" if own else "normal",
            )
        powers = [10.0**power for power in range(-3, 5)]
        shown = [power for power in powers if min(seconds) / 12 <= power <= max(seconds) * 4]
        ticks_in_full(axes.xaxis, shown)
        axes.set_xlim(min(seconds) / 2, max(seconds) * 2)
        axes.set_ylim(bottom - 2, top + 2)
        axes.grid(color="#e6e6e6")
        axes.set_axisbelow(True)
        axes.set_xlabel("seconds of training")
        axes.set_ylabel("accuracy, %")
        axes.set_title(title, loc="left")
        save(figure, file)
        plt.close(figure)


def curve(axes, points: list[dict], value: str, works: Iterable[str]) -> None:
    """One line a work, marked at what was measured."""
    for work in works:
        some = sorted((point["amount"], point[value]) for point in points if point["work"] == work and value in point)
        if some:
            axes.plot(*zip(*some, strict=True), "o-", color=COLOURS[work], label=work, markersize=5)


def draw_growth(axes_points: dict[str, list[dict]], file: Path) -> None:
    """Seconds and memory against rows, length of texts and labels, and the gain from threads and processes."""
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(2, 3, figsize=(11.5, 6.4), layout="constrained")
        panels = [
            ("rows", "seconds", "seconds", "rows", "tiny network: what the rows cost"),
            ("tokens", "seconds", "seconds for 1,000 texts", "tokens a text", "kit encoder, by length"),
            ("labels", "seconds", "seconds for 1,000 texts", "labels", "kit encoder, by labels"),
            ("rows", "megabytes", "peak memory, MB", "rows", ""),
            ("tokens", "megabytes", "peak memory, MB", "tokens a text", ""),
        ]
        for axes, (axis, value, y, x, title) in zip(grid.flat, panels, strict=False):
            points = axes_points.get(axis, [])
            curve(axes, points, value, ("clean", "train", "predict"))
            axes.set_xscale("log")
            if value == "seconds" and axis != "labels":
                axes.set_yscale("log")
                axes.yaxis.set_major_formatter(lambda number, _: short(number))
            else:
                axes.set_ylim(bottom=0)
            amounts = [point["amount"] for point in points]
            ticks_in_full(axes.xaxis, amounts)
            axes.tick_params(axis="x", labelsize=9)
            axes.set_xlabel(x)
            axes.set_ylabel(y)
            axes.set_title(title, loc="left")
            axes.grid(color="#e6e6e6")
        gains(grid.flat[5], axes_points)
        grid.flat[0].legend(frameon=False)
        save(figure, file)
        plt.close(figure)


def gains(axes, axes_points: dict[str, list[dict]]) -> None:
    """How many times as fast with more threads, and with two processes, as with one."""
    for axis, works, mark in (("threads", ("train", "predict"), "o-"), ("processes", ("train",), "s--")):
        for work in works:
            points = axes_points.get(axis, [])
            taken = {
                point["amount"]: point["seconds"] for point in points if point["work"] == work and "seconds" in point
            }
            if 1 in taken:
                some = sorted((amount, taken[1] / seconds) for amount, seconds in taken.items())
                axes.plot(*zip(*some, strict=True), mark, color=COLOURS[work], label=f"{work}, {axis}", markersize=5)
    amounts = [point["amount"] for axis in ("threads", "processes") for point in axes_points.get(axis, [])] or [1]
    axes.plot([1, max(amounts)], [1, max(amounts)], ":", color="#999999", label="all that there is to gain")
    ticks_in_full(axes.xaxis, amounts)
    axes.set_ylim(0.9, max(amounts) + 0.2)
    axes.set_xlabel("threads, processes")
    axes.set_ylabel("times as fast as one")
    axes.set_title("what more cores bring", loc="left")
    axes.grid(color="#e6e6e6")
    axes.legend(frameon=False, fontsize=9)
