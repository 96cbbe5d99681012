"""How far the texts of a table are read: in windows or cut off, how many are longer, and what windows change."""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from transformers import EvalPrediction

from ftcourse.engine.batches import token_lengths
from ftcourse.engine.checks import as_inputs
from ftcourse.engine.cleaning import NUMBER, SEVERAL, Prepared
from ftcourse.engine.forward import probabilities_of
from ftcourse.engine.metrics import Metrics
from ftcourse.engine.models import most_tokens
from ftcourse.engine.tokenizing import cut_off
from ftcourse.engine.windows import TEXT, windowed


def mean_rows(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The mean of the rows that have the same number, in the order of the numbers.

    >>> mean_rows(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1])).tolist()
    [[2.0], [5.0]]
    """
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    return np.add.reduceat(values, starts, axis=0) / np.bincount(numbers)[numbers[starts]][:, None]


def by_text(metrics: Metrics, part: Dataset, problem: str) -> Metrics:
    """The metrics for the texts that windows are of: each text's answer is the mean of its windows' answers.

    >>> part = Dataset.from_dict({"text_number": [0, 0, 1]})
    >>> scores = by_text(lambda found: {"texts": len(found.label_ids)}, part, "single_label_classification")
    >>> scores(EvalPrediction(np.zeros((3, 2)), np.array([1, 1, 0])))
    {'texts': 2}
    """
    if TEXT not in part.column_names:
        return metrics
    numbers = np.array(part[TEXT][:])
    first = np.flatnonzero(np.diff(numbers, prepend=-1))

    def scored(found: EvalPrediction) -> dict[str, float]:
        means = mean_rows(probabilities_of(torch.from_numpy(np.asarray(found.predictions)), problem).numpy(), numbers)
        if problem != NUMBER:
            sure = np.clip(means, 1e-7, 1 - 1e-7)
            means = np.log(sure / (1 - sure)) if problem == SEVERAL else np.log(sure)
        return metrics(EvalPrediction(means, found.label_ids[first]))

    return scored


def right_answers(problem: str, probabilities: np.ndarray, truth: Sequence) -> int | float:
    """How many texts have the right answer; of numbers, how far the answers are off on average.

    >>> right_answers("regression", np.array([[1.5], [4.0]]), [1.0, 4.0])
    0.25
    """
    truth = np.array(truth)
    if problem == NUMBER:
        return float(np.abs(probabilities[:, 0] - truth).mean())
    if problem == SEVERAL:
        return int(((probabilities >= 0.5) == (truth > 0.5)).all(axis=1).sum())
    return int((probabilities.argmax(axis=1) == truth).sum())


def tokens_read(rows: Dataset, columns: Sequence[str], predictor) -> Dataset:
    """The texts of rows as a predictor reads them: the tokens of each, or of each of its windows.

    >>> from ftcourse.inference import Predictor
    >>> from ftcourse.kit import Kit
    >>> rows, model = Dataset.from_dict({"text": ["a b c d e f", "a"]}), Kit("en").model("stars")
    >>> len(tokens_read(rows, ["text"], Predictor(model, max_length=6, windows=True)))
    3
    """
    rows, tokenizer, length = rows.select_columns(columns), predictor.tokenizer, predictor.max_length
    if predictor.windows:
        return windowed(rows, tokenizer, columns, length, most=sys.maxsize)

    def encode(batch: dict[str, list]) -> dict[str, list]:
        texts = as_inputs(*(batch[name] for name in columns))
        return {"input_ids": cut_off(texts, tokenizer, length)["input_ids"]}

    return rows.map(encode, batched=True, remove_columns=[*columns])


def cut_texts(
    prepared: Prepared, parts: Sequence[Dataset], predictor, probabilities: np.ndarray, labels: object = slice(None)
) -> dict:
    """What a report says of texts longer than the model reads: how many, of how many, and how they were read.

    `parts` are the tokens of the texts, those of `prepared.valid` last: the long ones of these are, with windows, asked
    once more, cut off. `labels` are the places of those that the rows are about, among the model's.

    >>> from ftcourse.inference import Predictor
    >>> from ftcourse.kit import Kit
    >>> rows = Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]})
    >>> part, predictor = Dataset.from_dict({"input_ids": [[2, 3]] * 2}), Predictor(Kit("en").model("stars"))
    >>> cut_texts(Prepared(rows, rows, ["a", "b"], {}, 2, {}), [part, part], predictor, np.eye(2))
    {'rows': 0, 'of': 4, 'length': 512, 'most': 512}
    """
    length, most = predictor.max_length, most_tokens(predictor.model)
    if not predictor.windows:
        rows = sum(int((token_lengths(part) >= length).sum()) for part in parts)
        return {"rows": rows, "of": sum(map(len, parts)), "length": length, "most": most}
    counts = [np.bincount(part[TEXT][:]) for part in parts]
    long = np.flatnonzero(counts[-1] > 1)
    found = {"rows": sum(int((count > 1).sum()) for count in counts), "of": sum(map(len, counts)), "length": length}
    found |= {"most": most, "windows": sum(map(len, parts))}
    if not len(long):
        return found
    rows = prepared.valid.select(long)
    predictor.windows = False
    try:
        cut = predictor.predict(*(rows[column][:] for column in prepared.columns)).probabilities[:, labels]
    finally:
        predictor.windows = True
    truth = rows["label"][:]
    right = {"read": right_answers(prepared.problem, probabilities[long], truth)}
    return found | {"valid": len(long), **right, "cut": right_answers(prepared.problem, cut, truth)}
