"""Conditions of the exercises of chapter 07."""

from functools import lru_cache

import numpy as np
import torch
from sklearn.metrics import confusion_matrix

FAR = 3  # stars between a howler and the truth


def labels_of(choose, probabilities) -> np.ndarray:
    return np.asarray(choose(probabilities))


def labels_only(choose, probabilities) -> bool:
    labels = labels_of(choose, probabilities)
    return labels.shape == (len(probabilities),) and bool(np.isin(labels, range(probabilities.shape[1])).all())


def row_by_row(choose, probabilities) -> bool:
    """Whether the answers follow the probabilities, and not the number of the row."""
    forwards, backwards = labels_of(choose, probabilities), labels_of(choose, probabilities[::-1])
    return np.array_equal(forwards, backwards[::-1])


def distances(choose, probabilities, references) -> list[np.ndarray]:
    """How many stars each label is off: those of the largest probabilities, and those that are chosen."""
    return [np.abs(labels - references) for labels in (probabilities.argmax(axis=1), labels_of(choose, probabilities))]


def fewer_howlers(choose, probabilities, references) -> bool:
    before, after = distances(choose, probabilities, references)
    return (after >= FAR).sum() <= (before >= FAR).sum() * 3 / 4


def no_further(choose, probabilities, references) -> bool:
    before, after = distances(choose, probabilities, references)
    return after.mean() <= before.mean() + 0.02


def swaggered(temperature, probabilities) -> np.ndarray:
    return (torch.tensor(probabilities).log() / temperature).softmax(dim=-1).numpy()


def same_labels(temperature, probabilities) -> bool:
    return np.array_equal(swaggered(temperature, probabilities).argmax(axis=1), probabilities.argmax(axis=1))


def boasting(temperature, probabilities) -> bool:
    return swaggered(temperature, probabilities).max(axis=1).mean() > 0.95


@lru_cache(maxsize=1)
def expected_matrix(folder: str, texts: tuple[str, ...], references: tuple[int, ...]) -> np.ndarray:
    """The confusion matrix of a model of two labels; asked twice, counted once."""
    from ftcourse.inference import Predictor

    return confusion_matrix(references, Predictor(folder).predict(texts).probabilities.argmax(axis=1), labels=[0, 1])


def expected(kit, texts, references) -> np.ndarray:
    return expected_matrix(kit.model("sentiment"), tuple(texts), tuple(int(label) for label in references))


def not_transposed(matrix, kit, texts, references) -> bool:
    right = expected(kit, texts, references)
    return np.array_equal(matrix, right) or not np.array_equal(matrix, right.T)


CONDITIONS = {
    1: {
        "function": callable,
        "labels": labels_only,
        "rows": row_by_row,
        "howlers": fewer_howlers,
        "distance": no_further,
    },
    2: {
        "number": lambda temperature: temperature > 0,
        "labels": same_labels,
        "sure": boasting,
    },
    3: {
        "shape": lambda matrix: np.shape(matrix) == (2, 2),
        "total": lambda matrix, texts: np.sum(matrix) == len(texts),
        "transposed": not_transposed,
        "model": lambda matrix, kit, texts, references: np.array_equal(matrix, expected(kit, texts, references)),
    },
}
