"""Scores: what a metric takes, which score decides, and what logits and labels come to."""

import inspect
import reprlib
import warnings
from collections.abc import Callable, Sequence
from numbers import Real

import evaluate
import numpy as np
import torch
from transformers import EvalPrediction

from ftcourse.engine.forward import stack_rows
from ftcourse.engine.messages import trouble

Metrics = Callable[[EvalPrediction], dict[str, float]]


def options_of(metrics: Sequence[evaluate.EvaluationModule], options: dict) -> list[dict]:
    """For each loaded metric those of the `options` that its calculation takes.

    Raises `ValueError` for what is no loaded metric, and for an option that none of them takes.

    >>> from ftcourse.kit import Kit
    >>> options_of([evaluate.load(*Kit().metric("f1"))], {"average": "macro"})
    [{'average': 'macro'}]
    """
    if not metrics or not all(hasattr(metric, "compute") for metric in metrics):
        raise trouble("loaded_metrics", given=list(metrics))
    taken = [taken_by(metric, options) for metric in metrics]
    if unknown := options.keys() - {name for names in taken for name in names}:
        raise trouble("metric_options", given=sorted(unknown))
    return taken


def taken_by(metric: evaluate.EvaluationModule, options: dict) -> dict:
    """Those of the `options` that one metric's calculation takes."""
    if parts := getattr(metric, "evaluation_modules", None):  # of evaluate.combine, which hands on all or nothing
        taken = [taken_by(part, options) for part in parts]
        return {name: value for name, value in options.items() if all(name in one for one in taken)}
    parameters = inspect.signature(getattr(metric, "_compute", metric.compute)).parameters
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    return {name: value for name, value in options.items() if takes_all or name in parameters}


def best_metric(metrics: Metrics | None, labels: Sequence, num_labels: int) -> str:
    """Name of the score by which epochs are compared: the first that `metrics` returns, or else the loss.

    `Trainer` takes more for better, but in a name that ends in "loss". Scores of which the opposite is true, as of an
    error, are passed over, as is what is no number: right answers and wrong ones are tried. Raises `ValueError` where
    `metrics` is not a function that returns scores.

    >>> best_metric(None, [0, 1], 2), best_metric(lambda found: {"accuracy": 1.0}, [0, 1], 2)
    ('loss', 'accuracy')
    """
    if metrics is None:
        return "loss"
    if not callable(metrics):
        raise trouble("metrics", given=metrics)
    truth = np.array(labels)
    if num_labels == 1:  # what a text is answered with is a number
        right = truth.reshape(-1, 1)
    elif truth.dtype.kind == "f":  # yes or no, for each label
        right = 2 * truth - 1
    else:
        right = np.eye(num_labels)[np.clip(truth, 0, None)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of answers that nobody gave
        tries = [metrics(EvalPrediction(found, truth)) for found in (right, right.max() + right.min() - right)]
    good, poor = tries
    if not isinstance(good, dict) or not good:
        raise trouble("scores", given=good)
    for name in (name for name, score in good.items() if is_number(score) and is_number(poor.get(name))):
        worse = good[name] > poor[name] if name.endswith("loss") else good[name] < poor[name]
        if not worse:
            return name
    return "loss"


def is_number(score: object) -> bool:
    """Whether a score is one number, of Python, NumPy or PyTorch.

    >>> is_number(np.float32(0.5)), is_number([0.5]), is_number(None)
    (True, False, False)
    """
    return isinstance(score, Real) or getattr(score, "ndim", 1) == 0


def checked_scores(found: object) -> dict[str, float]:
    """What metrics returned, where it is a number for each score; or else a `ValueError`.

    >>> checked_scores({"f1": np.float32(0.5)})
    {'f1': 0.5}
    """
    if not isinstance(found, dict):
        raise trouble("scores", given=found)
    wrong = {name: score for name, score in found.items() if not is_number(score)}
    if wrong:
        raise trouble("score", given=reprlib.repr(wrong))
    return {name: float(score) for name, score in found.items()}


def score_rows(results: list[tuple], metrics: Metrics | None) -> dict[str, float]:
    """The mean loss, and what `metrics` makes of logits and labels, in the order of the row numbers.

    >>> result = ([1, 0], torch.tensor(1.2), torch.tensor(2), torch.eye(2), torch.tensor([0, 1]))
    >>> score_rows([result], lambda prediction: {"first": int(prediction.label_ids[0])})
    {'loss': 0.6..., 'first': 1.0}
    """
    rows, losses, counts, logits, labels = zip(*results, strict=True)
    scores = {"loss": (torch.stack(losses).sum() / torch.stack(counts).sum()).item()}
    if metrics is None:
        return scores
    order = np.argsort([row for group in rows for row in group])
    return scores | checked_scores(metrics(EvalPrediction(stack_rows(logits)[order], stack_rows(labels)[order])))
