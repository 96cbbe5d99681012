"""Class weights: a loss in which a mistake on a rare label costs more."""

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from torch.nn import functional as F
from transformers import PreTrainedModel

from ftcourse.engine.columns import IGNORED, ROW_WEIGHT, column_array, label_column
from ftcourse.engine.messages import trouble


def balanced_weights(labels: np.ndarray, num_labels: int, counted: np.ndarray | None = None) -> torch.Tensor:
    """For each label the number of rows, divided by the number of labels and by the rows of that label. For several
    labels a text, such weights of no and of yes, shape (2, num_labels). A label that no row has weighs 1. Rows count
    once each, or as much as `counted` says.

    >>> balanced_weights(np.array([0, 1, 1, 1]), 2).tolist()
    [2.0, 0.666...]
    >>> balanced_weights(np.array([[1.0], [0.0], [0.0], [0.0]]), 1).tolist()
    [[0.666...], [2.0]]
    """
    if labels.ndim == 2:
        rows = 1 if counted is None else counted[:, None]
        counts = np.stack([((labels <= 0.5) * rows).sum(axis=0), ((labels > 0.5) * rows).sum(axis=0)])
    else:
        given = labels != IGNORED
        counts = np.bincount(labels[given], None if counted is None else counted[given], minlength=num_labels)
    kinds = (counts > 0).sum(axis=0)
    weights = counts.sum(axis=0) / np.where(counts > 0, kinds * counts, 1)
    return torch.tensor(np.where(counts > 0, weights, 1), dtype=torch.float32)


def class_weights(data: Dataset, model: PreTrainedModel, config) -> torch.Tensor | None:
    """The weights that a configuration asks for; None where it asks for none. `ValueError` for labels without weights.

    >>> from ftcourse.engine.models import small_example
    >>> from ftcourse.loop import TrainConfig
    >>> model, data, _ = small_example()
    >>> class_weights(data, model, TrainConfig(class_weights="balanced")).shape
    torch.Size([5])
    """
    if config.class_weights is None:
        return None
    name = "labels" if "labels" in data.column_names else "label"
    column = label_column(data, name)
    inner = getattr(column.type, "value_type", None)
    if not (pa.types.is_integer(column.type) or (inner and pa.types.is_floating(inner))) or model.num_labels < 2:
        raise trouble("class_weights")
    labels = column_array(data, name)
    counted = column_array(data, ROW_WEIGHT) if ROW_WEIGHT in data.column_names else None
    return balanced_weights(labels, model.num_labels, counted).to(model.device)


def weighted_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None, rows: torch.Tensor | None = None
) -> torch.Tensor:
    """The mean loss over labels that count, each times its weight: of one label a row, or of yes and no for each. Each
    row counts once, or as much as `rows` says; those may be of numbers, too, which have no class weights.

    >>> logits, labels = torch.zeros(2, 2), torch.tensor([0, 1])
    >>> weighted_loss(logits, labels, torch.tensor([2.0, 1.0])) / weighted_loss(logits, labels, torch.ones(2))
    tensor(1.5000)
    """
    logits = logits.float()
    if rows is not None:
        return (rows * row_losses(logits, labels, weights)).sum() / len(rows)
    if weights.ndim == 2:
        each = torch.where(labels > 0.5, weights[1], weights[0])
        return F.binary_cross_entropy_with_logits(logits, labels.float(), weight=each)
    each = F.cross_entropy(logits, labels, weight=weights, reduction="none", ignore_index=IGNORED)
    return each.sum() / (labels != IGNORED).sum().clamp(min=1)


def row_losses(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    """The loss of each row, shape (rows,): of one label, of yes and no for each of several, or of a number.

    >>> row_losses(torch.tensor([[1.0], [4.0]]), torch.tensor([2.0, 4.0]), None).tolist()
    [1.0, 0.0]
    """
    if labels.ndim == 2:
        each = None if weights is None else torch.where(labels > 0.5, weights[1], weights[0])
        return F.binary_cross_entropy_with_logits(logits, labels.float(), weight=each, reduction="none").mean(dim=1)
    if labels.is_floating_point():
        return (logits.squeeze(-1) - labels) ** 2
    return F.cross_entropy(logits, labels, weight=weights, reduction="none", ignore_index=IGNORED)
