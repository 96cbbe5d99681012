"""Conditions of the exercises of chapter 05."""

import math

import numpy as np
from transformers import Trainer

GOAL, LOSS = 0.7, 1.0


def trained(trainer) -> bool:
    return trainer.state.global_step > 0


def few_steps(most: int):
    return lambda trainer: trainer.state.global_step <= most


def only_films(trainer, film_valid) -> bool:
    """Whether the model learned from other rows than those that it is measured on, and from no more than 96."""
    learned = {tuple(ids) for ids in trainer.train_dataset["input_ids"]}
    return len(trainer.train_dataset) <= 96 and not learned & {tuple(ids) for ids in film_valid["input_ids"]}


def reaches(trainer, film_valid) -> bool:
    return trainer.predict(film_valid).metrics["test_accuracy"] >= GOAL


def right_share(metric, prediction) -> bool:
    answers, labels = prediction.predictions.argmax(axis=-1), prediction.label_ids
    return abs(sum(metric(prediction).values()) - np.mean(answers[labels == 0] == 0)) < 1e-6


def worse_than_guessing(trainer, film_valid) -> bool:
    loss = trainer.predict(film_valid).metrics["test_loss"]
    return math.isnan(loss) or loss > LOSS


CONDITIONS = {
    1: {
        "trainer": lambda trainer: isinstance(trainer, Trainer),
        "trained": trained,
        "steps": few_steps(36),
        "rows": only_films,
        "score": reaches,
    },
    2: {
        "function": callable,
        "dictionary": lambda metric, prediction: isinstance(metric(prediction), dict),
        "one": lambda metric, prediction: len(metric(prediction)) == 1,
        "share": lambda metric, prediction: all(0 <= score <= 1 for score in metric(prediction).values()),
        "score": right_share,
    },
    3: {
        "trainer": lambda trainer: isinstance(trainer, Trainer),
        "trained": trained,
        "steps": few_steps(8),
        "rows": only_films,
        "loss": worse_than_guessing,
    },
}
