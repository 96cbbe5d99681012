"""Accuracy as a local module that `evaluate.load(directory)` reads without a network."""

import datasets
import evaluate
from sklearn.metrics import accuracy_score

DESCRIPTION = "Share of predictions that equal the reference: (TP + TN) / all."
KWARGS = """
Args:
    predictions: predicted labels.
    references: true labels.
    normalize (bool): share if True (default), number of hits if False.
    sample_weight: weights of the examples.
Returns:
    accuracy: 0 to 1, or a number of examples.
"""


class Accuracy(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=KWARGS,
            features=datasets.Features({"predictions": datasets.Value("int32"), "references": datasets.Value("int32")}),
        )

    def _compute(self, predictions, references, normalize=True, sample_weight=None):
        return {
            "accuracy": float(accuracy_score(references, predictions, normalize=normalize, sample_weight=sample_weight))
        }
