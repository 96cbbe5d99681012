"""Accuracy and F1 of sentence pairs, as `evaluate.load("glue", "mrpc")` gives them, read without a network."""

import datasets
import evaluate
from sklearn.metrics import accuracy_score, f1_score

DESCRIPTION = "What GLUE reports for MRPC: accuracy, and F1 of the class 1, the pairs with the same meaning."
KWARGS = """
Args:
    predictions: predicted labels, 0 or 1.
    references: true labels, 0 or 1.
Returns:
    accuracy: 0 to 1.
    f1: 0 to 1.
"""


class Mrpc(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=KWARGS,
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions, references):
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "f1": float(f1_score(references, predictions)),
        }
