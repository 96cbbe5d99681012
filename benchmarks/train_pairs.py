"""Training the kit's encoder on pairs of sentences, beside the limit and `Trainer`."""

from benchmarks.measure import ROUNDS
from benchmarks.train import main as train_main
from benchmarks.training import BEST, DEFAULTS, LIMIT, OURS, STEPPED


def main(rounds: int = ROUNDS) -> None:
    train_main("pairs", [OURS, STEPPED, LIMIT, DEFAULTS, BEST], rounds=rounds)
