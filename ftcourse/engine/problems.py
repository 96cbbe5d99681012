"""What differs for several labels a text, and for numbers: scores, baselines, what a report says of the answers."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset, Value
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, f1_score, multilabel_confusion_matrix
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from transformers import EvalPrediction, PreTrainedModel

from ftcourse.engine.cleaning import ONE_LABEL, SEVERAL, Prepared, joined_texts
from ftcourse.engine.columns import column_array, label_column
from ftcourse.engine.labels import note
from ftcourse.engine.metrics import Metrics


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
    prepared: Prepared,
    probabilities: np.ndarray,
    baselines: dict,
    metrics: Metrics,
    judge: Callable,
    threshold: float = 0.5,
) -> dict:
    """Scores, right answers, verdict, a small table for each label, and mistakes, where a text may have several labels.

    A label counts as given from a probability of `threshold` on.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["good", "bad"], "label": [[0.0, 1.0], [1.0, 0.0]]})
    >>> prepared = Prepared(rows, rows, ["bad", "good"], {}, 2, {})
    >>> tuned, none = np.array([[0.1, 0.9], [0.8, 0.6]]), {"majority": np.zeros((2, 2))}
    >>> measure_labels(prepared, tuned, none, label_scores, lambda tuned, other: "close")["right"]
    {'majority': 0, 'tuned': 1}
    """
    truth, sure = np.array(prepared.valid["label"][:]) > 0.5, np.clip(probabilities, 1e-7, 1 - 1e-7)
    votes = {who: np.asarray(answers) - 0.5 for who, answers in baselines.items()}
    votes["tuned"] = np.log(sure / (1 - sure)) - np.log(threshold / (1 - threshold))
    wrong = {who: (vote > 0) != truth for who, vote in votes.items()}
    far = np.where(wrong["tuned"], np.where(truth, 1 - probabilities, probabilities), -1).max(axis=1)
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
                "probability": float(far[row]),
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


def number_scores(prediction: EvalPrediction) -> dict[str, float]:
    """How far answers are from the truth: on average, with large errors counting more, and as a share explained.

    >>> number_scores(EvalPrediction(np.array([[1.0], [4.0]]), np.array([1.0, 3.0])))
    {'mae': 0.5, 'rmse': 0.70..., 'r2': 0.5}
    """
    answers, truth = np.ravel(prediction.predictions), np.ravel(prediction.label_ids)
    errors, spread = answers - truth, ((truth - truth.mean()) ** 2).sum()
    r2 = 1 - (errors**2).sum() / spread if spread else 0.0
    return {"mae": float(np.abs(errors).mean()), "rmse": float((errors**2).mean() ** 0.5), "r2": float(r2)}


def number_baselines(prepared: Prepared, lang: str, seed: int) -> dict[str, np.ndarray]:
    """The answers of both baselines for the validation rows, as numbers: the median, and a line through word counts.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["good", "bad", "so"], "label": [5.0, 1.0, 3.0]})
    >>> number_baselines(Prepared(rows, rows, ["stars"], {}, 3, {}), "en", 0)["majority"].tolist()
    [3.0, 3.0, 3.0]
    """
    judges = {"majority": DummyRegressor(strategy="median"), "tfidf": make_pipeline(word_counts(lang), Ridge())}
    return fitted_answers(judges, prepared)


def digits(number: float) -> str:
    """A number as a report has it, with three digits after the point, or with four that count where those are more.

    >>> digits(1234.5678), digits(0.5), digits(0.0000321), digits(0)
    ('1234.568', '0.5000', '3.210e-05', '0.000')
    """
    return f"{number:#.4g}" if 0 < abs(number) < 1 else f"{number:.3f}"


FEW_NUMBERS = 12  # so many have a line each in a table


def number_groups(values: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Names of groups of numbers, and which of the `values` belong to each: one a number, of many numbers five.

    >>> [(name, rows.tolist()) for name, rows in number_groups(np.array([1.0, 1.5, 1.0]))]
    [('1', [True, False, True]), ('1.5', [False, True, False])]
    """
    distinct = np.unique(values)
    if len(distinct) <= FEW_NUMBERS:
        return [(f"{value:g}", values == value) for value in distinct]
    parts = np.array_split(distinct, 5)
    return [(f"{part[0]:g} \u2026 {part[-1]:g}", (values >= part[0]) & (values <= part[-1])) for part in parts]


def measure_numbers(
    prepared: Prepared, probabilities: np.ndarray, baselines: dict, metrics: Metrics, judge: Callable
) -> dict:
    """Scores, verdict, answers by true number, and the largest errors, where the answer is a number.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["good", "bad"], "label": [5.0, 1.0]})
    >>> prepared, middle = Prepared(rows, rows, ["stars"], {}, 2, {}), {"majority": np.array([3.0, 3.0])}
    >>> found = measure_numbers(prepared, np.array([[4.5], [1.2]]), middle, number_scores, lambda tuned, other: "close")
    >>> found["closer"], found["confusion"][0]
    ({'tuned': 2, 'best': 0}, ['1', 1, 1.2, 0.19...])
    """
    truth, tuned = np.array(prepared.valid["label"][:]), np.ravel(probabilities)
    answers = {who: np.ravel(found) for who, found in baselines.items()} | {"tuned": tuned}
    errors = {who: np.abs(found - truth) for who, found in answers.items()}
    scale = np.unique(column_array(prepared.train, "label"))
    middles = (scale[1:].astype(np.float64) + scale[:-1]) / 2
    nearest = {who: scale[np.searchsorted(middles, found)] for who, found in answers.items()}
    worst = np.argsort(-errors["tuned"], kind="stable")[:10]
    groups = [(name, rows) for name, rows in number_groups(truth) if rows.any()]
    return {
        "scores": {who: scored(metrics, found[:, None], truth) for who, found in answers.items()},
        "right": {who: int((found == truth).sum()) for who, found in nearest.items()},
        **compared(errors, judge),
        "confusion": [
            [name, int(rows.sum()), float(tuned[rows].mean()), float(errors["tuned"][rows].mean())]
            for name, rows in groups
        ],
        "mistakes": [
            {
                "text": text,
                "label": f"{truth[row]:g}",
                "prediction": digits(tuned[row]),
                "probability": float(errors["tuned"][row]),
            }
            for text, row in zip(joined_texts(prepared.valid.select(worst)), worst, strict=True)
        ],
    }


def head_of(model: PreTrainedModel) -> torch.nn.Linear | None:
    """The layer that a model's one number comes from; None where there is none such.

    >>> from ftcourse.engine.models import start_model
    >>> from ftcourse.kit import Kit
    >>> head_of(start_model(Kit().model("encoder"), ["stars"], 0, "regression")[0]).out_features
    1
    """
    layers = [part for part in model.modules() if isinstance(part, torch.nn.Linear) and part.out_features == 1]
    return layers[-1] if layers else None


class Scale:
    """Numbers brought to a mean of 0 and a spread of 1 for the training, whatever they are, and back in the end.

    A head without a bias cannot add the mean: then it stays in.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["a", "b"], "label": [100.0, 300.0]})
    >>> Scale(Prepared(rows, rows, ["price"], {}, 2, {})).back(np.array([-1.0, 0.0])).tolist()
    [100.0, 200.0]
    """

    def __init__(self, prepared: Prepared):
        numbers = column_array(prepared.train, "label").astype(np.float64)
        self.mean, self.spread = numbers.mean(), numbers.std() or 1.0

    def back(self, numbers: np.ndarray) -> np.ndarray:
        return np.asarray(numbers) * self.spread + self.mean

    def scored(self, metrics: Metrics) -> Metrics:
        """The metrics, which get numbers as the table has them."""
        return lambda found: metrics(EvalPrediction(self.back(found.predictions), self.back(found.label_ids)))

    def ready(self, model: PreTrainedModel, parts: Sequence[Dataset]) -> list[Dataset]:
        """The tokenized parts with the numbers that the model is to learn."""
        head, scaled = head_of(model), []
        if head is None:
            self.mean, self.spread = 0.0, 1.0
        elif head.bias is None:
            self.mean = 0.0
        for part in parts:
            numbers = ((column_array(part, "labels") - self.mean) / self.spread).astype(np.float32)
            scaled.append(part.remove_columns("labels").add_column("labels", numbers, feature=Value("float32")))
        return scaled

    def finish(self, model: PreTrainedModel) -> None:
        """The model says numbers as the table has them from now on."""
        if head := head_of(model):
            with torch.no_grad():
                head.weight.mul_(self.spread)
                if head.bias is not None:
                    head.bias.mul_(self.spread).add_(self.mean)


@dataclass(frozen=True)
class Way:
    """How a problem is scored and measured; its functions have the parameters of those of the chapter."""

    metrics: Metrics
    baselines: Callable
    measure: Callable
    ready: Callable = lambda model, parts: parts  # the parts to train and to validate with, as the model learns them
    finish: Callable = lambda model: None  # what the model still needs after the training


BASELINE_ROWS, BASELINE_CHARACTERS = 100_000, 20_000_000  # that word counts are made of; they take 500 MB at most


def few_rows(prepared: Prepared, seed: int) -> Prepared:
    """The same with as many rows to train with as word counts have room for, each label among them; a note says so.

    >>> rows = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    >>> len(few_rows(Prepared(rows, rows, ["x", "y"], {}, 2, {}), 0).train)
    2
    """
    rows, columns = len(prepared.train), prepared.columns
    lengths = sum(pc.utf8_length(label_column(prepared.train, name)).to_numpy() for name in columns)
    if rows <= BASELINE_ROWS and lengths.sum() <= BASELINE_CHARACTERS:
        return prepared
    order = np.random.default_rng(seed).permutation(rows)[:BASELINE_ROWS]
    order = order[lengths[order].cumsum() <= BASELINE_CHARACTERS]
    if prepared.problem == ONE_LABEL:
        order = np.union1d(order, np.unique(column_array(prepared.train, "label"), return_index=True)[1])
    prepared.notes.append(note("sampled", rows=len(order), of=rows))
    return replace(prepared, train=prepared.train.select(np.sort(order)))


def bounded(baselines: Callable) -> Callable:
    """Baselines that learn from a part of the rows, where there are very many."""
    return lambda prepared, lang, seed: baselines(few_rows(prepared, seed), lang, seed)


def way_for(prepared: Prepared, own: Way, metrics: Metrics | None, judge: Callable) -> Way:
    """The chapter's own way for one label a text; for other problems the one that suits. `metrics` go before its own.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["a"], "label": [[1.0]]})
    >>> prepared = Prepared(rows, rows, ["x"], {}, 1, {}, problem=SEVERAL)
    >>> way_for(prepared, Way(None, None, None), None, None).metrics is label_scores
    True
    """
    if prepared.problem == ONE_LABEL:
        return Way(metrics or own.metrics, bounded(own.baselines), own.measure)

    scores = metrics or (label_scores if prepared.problem == SEVERAL else number_scores)

    def measure(prepared: Prepared, answers: np.ndarray, baselines: dict, _: Metrics) -> dict:
        found = measure_labels if prepared.problem == SEVERAL else measure_numbers
        return found(prepared, answers, baselines, scores, judge)

    if prepared.problem == SEVERAL:
        return Way(scores, bounded(label_baselines), measure)
    scale = Scale(prepared)
    return Way(scale.scored(scores), bounded(number_baselines), measure, scale.ready, scale.finish)
