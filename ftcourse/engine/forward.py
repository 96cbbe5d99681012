"""Batches run through a model: their logits, losses and labels, in the order of the rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import numpy as np
import torch
from accelerate.utils import gather_object, send_to_device
from datasets import Dataset
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import PreTrainedModel

from ftcourse.engine.batches import (
    Collate,
    pad_rows,
    quicker,
    token_batches,
    token_lengths,
    tokens_apart,
    tokens_at_once,
)
from ftcourse.engine.columns import IGNORED
from ftcourse.engine.half import forget, in_half
from ftcourse.engine.precision import faster_precision
from ftcourse.engine.threads import apart, batches_at_once

SHARE = ContextVar("share", default=(0, 1))  # of the rows that this process evaluates: its number, and of how many


@contextmanager
def shared(share: int, shares: int) -> Iterator[None]:
    """While it lasts, `evaluation_batches` gives this process its share only, and `gathered` joins them all.

    >>> with shared(1, 2):
    ...     SHARE.get()
    (1, 2)
    """
    token = SHARE.set((share, shares))
    try:
        yield
    finally:
        SHARE.reset(token)


def evaluation_batches(
    data: Dataset, collate: Collate, batch_size: int, device: torch.device
) -> Iterator[tuple[list[int], Mapping[str, torch.Tensor]]]:
    """Row numbers and their batch on a device, the longest rows first: a batch too large fails at once.

    >>> from transformers import default_data_collator
    >>> data = Dataset.from_dict({"input_ids": [[2, 3]] * 4, "labels": [0, 1, 1, 1]})
    >>> [rows for rows, _ in evaluation_batches(data, default_data_collator, 3, torch.device("cpu"))]
    [[0, 1, 2], [3]]
    """
    share, shares = SHARE.get()
    lengths = token_lengths(data)
    order, batches, start = np.argsort(-lengths, kind="stable").tolist(), [], 0
    while start < len(order):
        size = max(min(batch_size, tokens_at_once(device) // max(int(lengths[order[start]]), 1)), 1)
        batches.append(order[start : start + size])
        start += size
    batches = batches[share::shares]
    options = {"collate_fn": quicker(collate), "pin_memory": torch.cuda.is_available()}
    loader = DataLoader(data, batch_sampler=batches, **options)
    for rows, batch in zip(batches, loader, strict=True):
        yield rows, send_to_device(batch, device, non_blocking=True)


def result_of(rows: list[int], outputs, labels: torch.Tensor, *, keep: bool) -> tuple:
    """Rows, sum of losses, number of labels that count, logits and labels of a batch.

    Without `keep` the logits, which can be large, are left out.
    """
    count = (labels != IGNORED).sum()
    loss = torch.where(count > 0, outputs.loss, 0) * count
    return rows, loss, count, outputs.logits if keep else outputs.logits[:0].clone(), labels


def gathered(results: list[tuple]) -> list[tuple]:
    """The results of all processes that share the rows, on the processor."""
    results = [(rows, *(tensor.cpu() for tensor in tensors)) for rows, *tensors in results]
    return gather_object(results) if SHARE.get()[1] > 1 else results


def stack_rows(parts: Sequence[torch.Tensor]) -> np.ndarray:
    """The rows of all parts in one array; rows of different lengths are filled up with -100.

    >>> stack_rows([torch.tensor([[1, 2]]), torch.tensor([[3]])]).tolist()
    [[1, 2], [3, -100]]
    """
    same = len({part.shape[1:] for part in parts}) == 1
    rows = torch.cat(list(parts)) if same else pad_sequence([row for part in parts for row in part], True, IGNORED)
    return (rows.float() if rows.is_floating_point() else rows).numpy()


def batch_logits(
    parts: Sequence, batch_of: Callable, model: PreTrainedModel, precision: str = "no", at_once: int = 1
) -> torch.Tensor:
    """The logits of all batches, shape (rows, num_labels), worked out in a precision: "no" for 32 bits, or "bf16".

    `batch_of` makes a batch of each part. So many go through the model `at_once`, each on cores of its own; with 1, all
    cores share each batch.

    >>> from ftcourse.engine.models import load_classifier
    >>> from ftcourse.kit import Kit
    >>> model = load_classifier(Kit("en").model("stars"))
    >>> batch_logits([[2, 9, 3], [2, 3]], lambda ids: {"input_ids": torch.tensor([ids])}, model).shape
    torch.Size([2, 5])
    """
    device = model.device

    def work(answer) -> list[torch.Tensor]:
        @torch.inference_mode()
        def logits(part) -> torch.Tensor:
            batch = {name: tensor.to(device, non_blocking=True) for name, tensor in batch_of(part).items()}
            return answer(**batch).logits.float()

        if min(at_once, len(parts)) < 2:
            return [logits(part) for part in parts]
        with apart(logits, parts, at_once) as found:
            return [*found]

    return torch.cat(in_half(model, work) if precision == "bf16" else work(model))


def probabilities_of(logits: torch.Tensor, problem: str | None) -> torch.Tensor:
    """What logits (rows, labels) mean: one trust shared out, or one a label for several; numbers are what they are.

    >>> probabilities_of(torch.zeros(1, 2), "multi_label_classification").tolist()
    [[0.5, 0.5]]
    """
    if problem == "regression":
        return logits
    return logits.sigmoid() if problem == "multi_label_classification" else logits.softmax(dim=-1)


def answers_of(probabilities: np.ndarray, config, threshold: float = 0.5) -> list:
    """The answer in each row: a label's name, of several those from the threshold up, or a number.

    >>> from transformers import PretrainedConfig
    >>> config = PretrainedConfig(id2label={0: "bad", 1: "good"}, problem_type="multi_label_classification")
    >>> answers_of(np.array([[0.2, 0.7], [0.5, 0.9], [0.1, 0.1]]), config)
    [['good'], ['bad', 'good'], []]
    """
    if config.problem_type == "regression":
        return probabilities[:, 0].tolist()
    if config.problem_type == "multi_label_classification":
        return [[config.id2label[number] for number in np.flatnonzero(row >= threshold)] for row in probabilities]
    return [config.id2label[number] for number in probabilities.argmax(axis=1).tolist()]


GROUP, CHARACTERS = 1024, 4_000_000  # texts that are tokenized in one go, and characters in them


def by_length(texts: Sequence) -> list[list[int]]:
    """Row numbers in groups of texts of similar length, as many as are tokenized in one go.

    >>> by_length(["abc", "a"])
    [[1, 0]]
    """
    lengths = [len("".join(text)) for text in texts]
    groups, size = [], 0
    for row in sorted(range(len(texts)), key=lengths.__getitem__):
        if not groups or len(groups[-1]) >= GROUP or size + lengths[row] > CHARACTERS:
            groups.append([])
            size = 0
        groups[-1].append(row)
        size += lengths[row]
    return groups


def encoded_probabilities(predictor, encoded: Mapping[str, list[list[int]]]) -> np.ndarray:
    """Probabilities for rows of ids, shape (rows, num_labels), in batches of similar length; a `Predictor` says how.

    A text without any token, where a tokenizer puts nothing around an empty one, is one token of padding.

    >>> from ftcourse.inference import Predictor
    >>> from ftcourse.kit import Kit
    >>> encoded_probabilities(Predictor(Kit().model("stars")), {"input_ids": [[2, 3], []]}).shape
    (2, 5)
    """
    model, tokenizer = predictor.model, predictor.tokenizer
    lengths = [len(ids) for ids in encoded["input_ids"]]
    if not all(lengths):
        one = {"input_ids": [tokenizer.pad_token_id or 0], "attention_mask": [1]}
        encoded = {name: [ids or one.get(name, [0]) for ids in column] for name, column in encoded.items()}
        lengths = [max(length, 1) for length in lengths]
    most, at_once = getattr(model, "batch_tokens", None) or tokens_at_once(model.device), batches_at_once(model)

    def batches_for(precision: str) -> list[list[int]]:
        some = tokens_apart(sum(lengths), at_once, precision) if at_once > 1 else most
        return token_batches(lengths, predictor.batch_size, some)

    batch_of = partial(pad_rows, encoded, tokenizer=tokenizer)
    if predictor.precision == "auto":
        batches = batches_for("no")
        some = [batches[len(batches) // 2]] * min(at_once, len(batches))
        work = partial(batch_logits, some, batch_of, model, at_once=at_once)
        predictor.precision = faster_precision(work, model.device)
        if predictor.precision == "no":
            forget(model)
    batches = batches_for(predictor.precision)
    logits = batch_logits(batches, batch_of, model, predictor.precision, at_once)
    probabilities = np.zeros(logits.shape, dtype=np.float32)
    probabilities[[row for rows in batches for row in rows]] = (
        probabilities_of(logits, model.config.problem_type).cpu().numpy()
    )
    return probabilities


def group_probabilities(predictor, encoded: Mapping | tuple[int, Iterator]) -> np.ndarray:
    """Probabilities for what `tokenized` gives for a group of texts, shape (texts, num_labels); a `Predictor` says how.

    With windows, those of a text are the mean of its windows'.

    >>> from ftcourse.inference import Predictor
    >>> from ftcourse.kit import Kit
    >>> predictor = Predictor(Kit().model("stars"))
    >>> group_probabilities(predictor, predictor.tokenizer(["Lovely."])).shape
    (1, 5)
    """
    if isinstance(encoded, Mapping):
        return encoded_probabilities(predictor, encoded)
    count, windows = encoded
    sums, counts = np.zeros((count, predictor.model.config.num_labels)), np.zeros((count, 1))
    for numbers, columns in windows:
        np.add.at(sums, numbers, encoded_probabilities(predictor, columns))
        np.add.at(counts, numbers, 1)
    return (sums / counts).astype(np.float32)
