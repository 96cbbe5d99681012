"""The pictures of the README: what accuracy costs with few labels, and how seconds and memory grow with the work."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

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
CLOSE = 0.7  # of a power of ten: so near lie two points whose names would cover each other


def save(figure, file: Path) -> None:
    """Writes a figure as SVG, the same bytes for the same figure."""
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None}, facecolor="white")


def mark(axis, values: Iterable[float]) -> None:
    """Marks an axis at these values only."""
    from matplotlib.ticker import FixedLocator, NullLocator

    axis.set_major_locator(FixedLocator(sorted({*values})))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: short(value))


def short(value: float) -> str:
    """A number with few signs, for an axis.

    >>> short(0.01), short(3), short(5000), short(5_000_000)
    ('0.01', '3', '5k', '5M')
    """
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"


def spread_out(places: Sequence[tuple[float, float]], reach: float, gap: float) -> list[float]:
    """Heights for what is written beside places (across, up): moved up where one within `reach` is nearer than `gap`.

    >>> spread_out([(1, 1.0), (1, 1.5), (9, 1.5)], reach=2, gap=1.0)
    [1.0, 2.0, 1.5]
    """
    moved, done = [height for _, height in places], []
    for number in sorted(range(len(places)), key=moved.__getitem__):
        for other in done:
            if abs(places[number][0] - places[other][0]) < reach and moved[number] < moved[other] + gap:
                moved[number] = moved[other] + gap
        done.append(number)
    return moved


def draw_few(rows: list[dict], title: str, file: Path) -> None:
    """Seconds of training against accuracy, a point a method, with the range over the seeds.

    A name stands above its point, or below, where a better method takes about as long.
    """
    import matplotlib.pyplot as plt

    rows = [row for row in rows if "accuracy" in row]
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7.2, 4.2), layout="constrained")
        scores = [[100 * run["accuracy"] for run in row["runs"]] for row in rows]
        seconds, means = [row["seconds"] for row in rows], [100 * row["accuracy"] for row in rows]
        bottom, top = min(map(min, scores)), max(map(max, scores))
        gap = (top - bottom + 4) / 16
        tops = [(float(np.log10(x)), max(some) + gap / 2) for x, some in zip(seconds, scores, strict=True)]
        under = [
            any(other > mean and abs(place - at) < CLOSE for (place, _), other in zip(tops, means, strict=True))
            for (at, _), mean in zip(tops, means, strict=True)
        ]
        heights = spread_out(tops, 1.3, gap)
        axes.set_xscale("log")
        for row, x, y, some, height, low in zip(rows, seconds, means, scores, heights, under, strict=True):
            own = row["name"] == "full tuning"
            colour, weight = (COLOURS["train"], "bold") if own else ("#555555", "normal")
            axes.plot([x, x], [min(some), max(some)], color=colour, linewidth=1.5)
            axes.plot(x, y, "o", color=colour, markersize=8)
            where = {"y": min(some) - gap / 2, "va": "top"} if low else {"y": height, "va": "bottom"}
            axes.text(x, s=row["name"], ha="center", color=colour, fontweight=weight, **where)
        powers = [10.0**power for power in range(-3, 5)]
        shown = [power for power in powers if min(seconds) / 12 <= power <= max(seconds) * 4]
        mark(axes.xaxis, shown)
        axes.set_xlim(min(seconds) / 6, max(seconds) * 7)
        axes.set_ylim(bottom - 2 - gap, max(top, *(height for _, height in tops)) + 3 * gap)
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
                axes.yaxis.set_minor_formatter("")
            else:
                axes.set_ylim(0, 1.1 * max((point.get(value, 0) for point in points), default=1) or 1)
            amounts = [point["amount"] for point in points]
            mark(axes.xaxis, amounts)
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
    for axis, works, line in (("threads", ("train", "predict"), "o-"), ("processes", ("train",), "s--")):
        for work in works:
            points = axes_points.get(axis, [])
            taken = {
                point["amount"]: point["seconds"] for point in points if point["work"] == work and "seconds" in point
            }
            if 1 in taken:
                some = sorted((amount, taken[1] / seconds) for amount, seconds in taken.items())
                axes.plot(*zip(*some, strict=True), line, color=COLOURS[work], label=f"{work}, {axis}", markersize=5)
    amounts = [point["amount"] for axis in ("threads", "processes") for point in axes_points.get(axis, [])] or [1]
    axes.plot([1, max(amounts)], [1, max(amounts)], ":", color="#999999", label="all that there is to gain")
    mark(axes.xaxis, amounts)
    axes.set_xlabel("threads, processes")
    axes.set_ylabel("times as fast as one")
    axes.set_title("what more cores bring", loc="left")
    axes.grid(color="#e6e6e6")
    axes.legend(frameon=False, fontsize=9)
