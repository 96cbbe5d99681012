"""The same as `few`, with as many pairs for SetFit as its authors take."""

from benchmarks.few import main as few_main


def main() -> None:
    few_main(pairs=(20,), name="few_long")
