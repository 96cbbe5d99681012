"""The points of `growth` that take minutes: up to five million rows, and those between."""

from benchmarks.growth import LONG
from benchmarks.growth import main as growth_main


def main() -> None:
    growth_main(LONG, "growth_long")
