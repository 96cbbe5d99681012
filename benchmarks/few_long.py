"""The same as `few`, with as many pairs for SetFit as its authors take."""

from benchmarks.few import main as few_main

MANY = 20


def main() -> None:
    few_main(pairs=(MANY,), name="few_long")
