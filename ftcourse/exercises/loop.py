"""Conditions of the exercises of chapter 06."""

from types import SimpleNamespace


def stops(callback, *losses: float) -> bool:
    """Whether a callback ends the training after epochs with these validation losses."""
    return bool(callback(None, SimpleNamespace(metrics=[{"loss": loss} for loss in losses])))


CONDITIONS = {
    1: {
        "whole": lambda n: n == int(n),
        "accumulation": lambda n: n < 1000,
        "epochs": lambda n: n > 200,
        "number": lambda n: n == 575,
    },
    2: {
        "config": lambda config: type(config).__name__ == "TrainConfig",  # the notebook has its own
        "room": lambda config: config.batch_size <= 16,
        "rows": lambda config: config.batch_size * config.accumulation == 64,
        "warmup": lambda config: config.warmup == 0.1,
    },
    3: {
        "function": callable,
        "first": lambda callback: not stops(callback, 0.7),
        "falling": lambda callback: not stops(callback, 0.7, 0.6) and not stops(callback, 0.9, 0.6, 0.5),
        "rising": lambda callback: stops(callback, 0.7, 0.6, 0.65) and stops(callback, 0.7, 0.8),
        "equal": lambda callback: stops(callback, 0.7, 0.7),
    },
}
