"""AdamW and its schedule, as training wants them."""

import math

import torch
from transformers import get_scheduler

from ftcourse.engine.messages import trouble

FUSED = ("cpu", "cuda", "mps", "xpu")


def make_optimizer(model: torch.nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW for the weights that are not frozen; only those with two dimensions or more decay.

    Raises `ValueError` where all of them are frozen.

    >>> [len(group["params"]) for group in make_optimizer(torch.nn.Linear(2, 2), 1e-3, 0.01).param_groups]
    [1, 1]
    """
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    if not weights:
        raise trouble("all_frozen")
    groups = [
        {"params": [weight for weight in weights if weight.ndim >= 2], "weight_decay": weight_decay},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0},
    ]
    fused = all(weight.device.type in FUSED for weight in weights)
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=lr, fused=fused)


def limit_norm(optimizer: torch.optim.Optimizer, most: float) -> None:
    """Makes the next step go by gradients whose length, that of all together, is at most `most`.

    A fused optimizer shortens them as it reads them, so they are not written once more.

    >>> layer = torch.nn.Linear(2, 2)
    >>> layer(torch.ones(1, 2)).sum().backward()
    >>> limit_norm(torch.optim.SGD(layer.parameters(), lr=1.0), 0.5)
    >>> torch.nn.utils.get_total_norm([weight.grad for weight in layer.parameters()])
    tensor(0.5000)
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"] if weight.grad is not None]
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights])
    if optimizer.defaults.get("fused"):
        optimizer.grad_scale = (norm / most).clamp(min=1)
    else:
        torch.nn.utils.clip_grads_with_norm_(weights, most, norm)


def make_scheduler(
    optimizer: torch.optim.Optimizer, warmup: float, num_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Up during `warmup` steps, or below 1 that share of all, then down to 0 in a straight line.

    >>> scheduler = make_scheduler(make_optimizer(torch.nn.Linear(2, 2), 1e-3, 0), 0.5, 4)
    >>> scheduler.get_last_lr()[0]
    0.0
    """
    num_warmup_steps = math.ceil(warmup * num_steps) if warmup < 1 else int(warmup)
    return get_scheduler("linear", optimizer, num_warmup_steps=num_warmup_steps, num_training_steps=num_steps)
