"""The F1 score as a local module that `evaluate.load(directory)` reads without a network."""

import datasets
import evaluate
from sklearn.metrics import f1_score

DESCRIPTION = "Harmonic mean of precision and recall: 2 * precision * recall / (precision + recall)."
KWARGS = """
Args:
    predictions: predicted labels.
    references: true labels.
    labels: labels to include where `average` is not "binary".
    pos_label: the class counted as positive where `average` is "binary" (default 1).
    average: "binary" (default), "micro", "macro", "weighted" or None.
    sample_weight: weights of the examples.
Returns:
    f1: 0 to 1, or an array with a score a class where `average` is None.
"""


class F1(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=KWARGS,
            features=datasets.Features({"predictions": datasets.Value("int32"), "references": datasets.Value("int32")}),
        )

    def _compute(self, predictions, references, labels=None, pos_label=1, average="binary", sample_weight=None):
        score = f1_score(
            references, predictions, labels=labels, pos_label=pos_label, average=average, sample_weight=sample_weight
        )
        return {"f1": score if average is None else float(score)}
