"""Conditions of the exercises of chapter 07."""

from functools import lru_cache

import numpy as np
from sklearn.metrics import confusion_matrix


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


def least_sure(text, predictor, predictions) -> bool:
    surest = predictor.predict([text]).probabilities.max()
    return surest < predictions.probabilities.max(axis=1).min() + 1e-4


def enough_left(threshold, predictions) -> bool:
    return (predictions.probabilities.max(axis=1) >= threshold).mean() >= 0.25


def fewer_mistakes(threshold, predictions, references) -> bool:
    wrong = predictions.probabilities.argmax(axis=1) != references
    return wrong[predictions.probabilities.max(axis=1) >= threshold].mean() <= 0.75 * wrong.mean()


CONDITIONS = {
    1: {
        "list": lambda usable: isinstance(usable, list),
        "strings": lambda usable: all(isinstance(text, str) for text in usable),
        "visible": lambda usable: all(text.strip() for text in usable),
        "rows": lambda usable, column: usable == [text for text in column if isinstance(text, str) and text.strip()],
    },
    2: {
        "text": lambda text: isinstance(text, str),
        "review": lambda text, texts: text in texts,
        "least": least_sure,
    },
    3: {
        "shape": lambda matrix: np.shape(matrix) == (2, 2),
        "total": lambda matrix, texts: np.sum(matrix) == len(texts),
        "transposed": not_transposed,
        "model": lambda matrix, kit, texts, references: np.array_equal(matrix, expected(kit, texts, references)),
    },
    4: {
        "number": lambda threshold: 0 <= threshold <= 1,
        "left": enough_left,
        "mistakes": fewer_mistakes,
    },
}
