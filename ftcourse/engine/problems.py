"""What differs for several labels a text, and for numbers: scores, baselines, what a report says of the answers."""

import reprlib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, f1_score, multilabel_confusion_matrix
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from transformers import EvalPrediction

from ftcourse.engine.cleaning import ONE_LABEL, SEVERAL, Prepared, joined_texts
from ftcourse.engine.messages import trouble
from ftcourse.engine.metrics import Metrics


def asked_problem(label: object, multi_label: bool | None) -> str | None:
    """The problem that a call asks for; None where the table is to tell. A `ValueError` where it asks for two.

    >>> asked_problem("stars", None), asked_problem(["food", "price"], None)
    (None, 'multi_label_classification')
    """
    if multi_label not in (None, True, False):
        raise trouble("multi_label", given=reprlib.repr(multi_label))
    if isinstance(label, str):
        return None if multi_label is None else SEVERAL if multi_label else ONE_LABEL
    if multi_label is False:
        raise trouble("one_of_columns", given=reprlib.repr(label))
    return SEVERAL


def label_scores(prediction: EvalPrediction) -> dict[str, float]:
    """F1 over all answers, its mean over labels, and the share of texts with all labels right; yes is above 0.

    >>> label_scores(EvalPrediction(np.array([[2.0, -1.0], [1.0, -3.0]]), np.array([[1, 0], [1, 1]])))
    {'f1_micro': 0.8, 'f1_macro': 0.5, 'all_right': 0.5}
    """
    answers, truth = np.asarray(prediction.predictions) > 0, np.asarray(prediction.label_ids) > 0.5
    f1 = {f"f1_{average}": f1_score(truth, answers, average=average, zero_division=0) for average in ("micro", "macro")}
    return {name: float(score) for name, score in (f1 | {"all_right": accuracy_score(truth, answers)}).items()}


def word_counts(lang: str) -> TfidfVectorizer:
    """The counts of words and pairs of words that the second baseline works with; of characters in Chinese.

    >>> word_counts("zh").analyzer
    'char'
    """
    units = {"analyzer": "char"} if lang.startswith("zh") else {"token_pattern": r"\w+|[^\w\s]+"}
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32, **units)


def fitted_answers(judges: dict, prepared: Prepared) -> dict[str, np.ndarray]:
    """What each of the judges, once it has learned from the training rows, answers for the validation rows."""
    texts, labels = joined_texts(prepared.train), np.array(prepared.train["label"][:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of labels that all rows have, or none
        return {name: judge.fit(texts, labels).predict(joined_texts(prepared.valid)) for name, judge in judges.items()}


def label_baselines(prepared: Prepared, lang: str, seed: int) -> dict[str, np.ndarray]:
    """The answers of both baselines for the validation rows, shape (rows, labels): 1 for yes, 0 for no.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["good", "bad"], "label": [[0.0, 1.0], [1.0, 0.0]]})
    >>> label_baselines(Prepared(rows, rows, ["bad", "good"], {}, 2, {}), "en", 0)["tfidf"].tolist()
    [[0, 1], [1, 0]]
    """
    judges = {
        "majority": DummyClassifier(strategy="most_frequent"),
        "tfidf": make_pipeline(word_counts(lang), OneVsRestClassifier(LinearSVC(random_state=seed))),
    }
    return fitted_answers(judges, prepared)


def compared(errors: dict[str, np.ndarray], judge: Callable) -> dict:
    """The verdict by how far each answer is from the truth: who is closer in how many rows.

    >>> errors = {"majority": np.array([1, 1, 0]), "tuned": np.array([0, 0, 1])}
    >>> compared(errors, lambda tuned, other: "close")
    {'closer': {'tuned': 2, 'best': 1}, 'verdict': 'close'}
    """
    best = min((who for who in errors if who != "tuned"), key=lambda who: errors[who].mean())
    tuned, other = errors["tuned"] < errors[best], errors[best] < errors["tuned"]
    return {"closer": {"tuned": int(tuned.sum()), "best": int(other.sum())}, "verdict": judge(tuned, other)}


def in_names(marks: np.ndarray, names: Sequence[str]) -> str:
    """The labels of a row in one text.

    >>> in_names(np.array([1, 0, 1]), ["food", "price", "service"]), in_names(np.array([0]), ["food"])
    ('food; service', '-')
    """
    return "; ".join(name for name, mark in zip(names, marks, strict=True) if mark) or "-"


def measure_labels(
    prepared: Prepared, probabilities: np.ndarray, baselines: dict, metrics: Metrics, judge: Callable
) -> dict:
    """Scores, right answers, verdict, a small table for each label, and mistakes, where a text may have several labels.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["good", "bad"], "label": [[0.0, 1.0], [1.0, 0.0]]})
    >>> prepared = Prepared(rows, rows, ["bad", "good"], {}, 2, {})
    >>> tuned, none = np.array([[0.1, 0.9], [0.8, 0.6]]), {"majority": np.zeros((2, 2))}
    >>> measure_labels(prepared, tuned, none, label_scores, lambda tuned, other: "close")["right"]
    {'majority': 0, 'tuned': 1}
    """
    truth, sure = np.array(prepared.valid["label"][:]) > 0.5, np.clip(probabilities, 1e-7, 1 - 1e-7)
    votes = {who: np.asarray(answers) - 0.5 for who, answers in baselines.items()}
    votes["tuned"] = np.log(sure / (1 - sure))
    wrong = {who: (vote > 0) != truth for who, vote in votes.items()}
    far = np.where(wrong["tuned"], np.abs(probabilities - 0.5), -1).max(axis=1)
    worst = [row for row in np.argsort(-far, kind="stable") if far[row] >= 0][:10]
    texts = joined_texts(prepared.valid.select(worst))
    return {
        "scores": {who: scored(metrics, vote, truth.astype(int)) for who, vote in votes.items()},
        "right": {who: int((~found).all(axis=1).sum()) for who, found in wrong.items()},
        **compared({who: found.sum(axis=1) for who, found in wrong.items()}, judge),
        "confusion": multilabel_confusion_matrix(truth, votes["tuned"] > 0).tolist(),
        "mistakes": [
            {
                "text": text,
                "label": in_names(truth[row], prepared.names),
                "prediction": in_names(votes["tuned"][row] > 0, prepared.names),
                "probability": float(0.5 + far[row]),
            }
            for text, row in zip(texts, worst, strict=True)
        ],
    }


def scored(metrics: Metrics, answers: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """What the metrics make of answers, as plain numbers.

    >>> scored(lambda prediction: {"rows": np.int64(2)}, np.zeros(2), np.zeros(2))
    {'rows': 2.0}
    """
    return {name: float(score) for name, score in metrics(EvalPrediction(answers, truth)).items()}


@dataclass(frozen=True)
class Way:
    """How a problem is scored and measured; its functions have the parameters of those of the chapter."""

    metrics: Metrics
    baselines: Callable
    measure: Callable


def way_for(prepared: Prepared, own: Way, metrics: Metrics | None, judge: Callable) -> Way:
    """The chapter's own way for one label a text; for other problems the one that suits. `metrics` go before its own.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["a"], "label": [[1.0]]})
    >>> prepared = Prepared(rows, rows, ["x"], {}, 1, {}, problem=SEVERAL)
    >>> way_for(prepared, Way(None, None, None), None, None).metrics is label_scores
    True
    """
    if prepared.problem == ONE_LABEL:
        return Way(metrics or own.metrics, own.baselines, own.measure)

    def measure(*arguments):
        return measure_labels(*arguments, judge)

    return Way(metrics or label_scores, label_baselines, measure)
