"""Which number format is faster on this machine, and which attention goes with it: measured, not assumed."""

import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, send_to_device
from datasets import Dataset
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import PreTrainedModel

from ftcourse.engine.batches import Collate, parts_of, token_lengths
from ftcourse.engine.columns import ROW_WEIGHT
from ftcourse.engine.processes import enough_memory, fresh_accelerator, modes_kept


def faster_precision(work: Callable[[str], object], device: torch.device, repeats: int = 4) -> str:
    """Either "no" or, where it saves a tenth of the time that `work` takes on a device, "bf16"; the best run counts.

    `work` is called with the precision, for what else it may want to do with it.

    >>> faster_precision(len, torch.device("cpu")) in ("no", "bf16")
    True
    """
    best = {"no": math.inf, "bf16": math.inf}
    for precision in [*best] * repeats:
        started = time.perf_counter()
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            work(precision)
        if device.type != "cpu":
            torch.accelerator.synchronize()
        best[precision] = min(best[precision], time.perf_counter() - started)
    return "bf16" if best["bf16"] < 0.9 * best["no"] else "no"


def quick_attention(device: torch.device, precision: str | None) -> AbstractContextManager:
    """Plain matrix products for the attention, to train in "bf16" on a processor; otherwise PyTorch chooses.

    >>> with quick_attention(torch.device("cpu"), "bf16"):
    ...     torch.backends.cuda.flash_sdp_enabled()
    False
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" and precision == "bf16" else nullcontext()


def try_step(model: PreTrainedModel, batch: Mapping[str, torch.Tensor], precision: str) -> None:
    """Forward and backward, without changing a weight.

    >>> from ftcourse.engine.models import load_classifier
    >>> from ftcourse.kit import Kit
    >>> from ftcourse.loop import TrainConfig
    >>> from transformers import default_data_collator
    >>> model = load_classifier(Kit().model("stars"))
    >>> try_step(model, {"input_ids": torch.tensor([[2, 3]]), "labels": torch.tensor([1])}, "no")
    >>> model.classifier.weight.grad is None
    True
    """
    try:
        with quick_attention(model.device, precision):
            model(**batch).loss.backward()
    finally:
        model.zero_grad()


MEASURED: dict[tuple, str] = {}


def choose_precision(model: PreTrainedModel, data: Dataset, collate: Collate, config) -> str | None:
    """The precision of `config`; for "auto", the faster one of "no" and "bf16", measured once a process and model.

    It is measured on as much as goes through the model at once in training. None, for the one that `accelerate launch`
    was given, where "auto" meets one that is not "no".

    >>> from ftcourse.engine.models import load_classifier
    >>> from ftcourse.kit import Kit
    >>> from ftcourse.loop import TrainConfig
    >>> from transformers import default_data_collator
    >>> model = load_classifier(Kit().model("stars"))
    >>> data = Dataset.from_dict({"input_ids": [[2, 3]] * 4, "labels": [0, 1, 1, 1]})
    >>> choose_precision(model, data, default_data_collator, TrainConfig(precision="auto")) in ("no", "bf16")
    True
    """
    if config.precision != "auto":
        return config.precision
    if os.environ.get("ACCELERATE_MIXED_PRECISION", "no") != "no":
        return None
    with fresh_accelerator(None) as accelerator:
        device, lengths = accelerator.device, token_lengths(data)
        size = sum(weight.numel() for weight in model.parameters())
        key = type(model), size, str(device), torch.get_num_threads()
        if key not in MEASURED:
            rows = np.argsort(lengths, kind="stable")[(len(data) - 1) // 2 :][: config.batch_size]
            batch = send_to_device(dict(collate([data[int(row)] for row in rows])), device)
            batch = {name: tensor for name, tensor in parts_of(batch)[0].items() if name != ROW_WEIGHT}
            with modes_kept(model), enough_memory(), torch.random.fork_rng():
                model.to(device).train()
                MEASURED[key] = faster_precision(partial(try_step, model, batch), device)
        return broadcast_object_list([MEASURED[key]])[0]
