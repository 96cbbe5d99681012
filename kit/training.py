"""The training loop of the kit's own scripts: small, seeded, the same for pretraining and fine-tuning."""

import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ftcourse.engine.folders import written_whole

SAVED_EVERY = 250
THREADS = 1  # fixed, for the same weights again; what can run side by side does


def seed_everything(seed: int, threads: int = THREADS) -> None:
    random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)


def parameter_groups(model: nn.Module) -> list[dict]:
    """All parameters, for an optimizer: matrices with weight decay, biases and norms without."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]


def optimize(
    model: nn.Module,
    losses: Iterator[torch.Tensor],
    num_steps: int,
    lr: float,
    name: str = "",
    warmup_share: float = 0.06,
    place: Path | None = None,
) -> None:
    """`num_steps` of AdamW over the losses, with warmup and linear decay. If named, tells its progress.

    With a `place`, its state is kept there, and training goes on from it: then `losses` begin at `reached(place)`.
    """
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=lr, fused=True)
    warmup = max(1, round(warmup_share * num_steps))

    def rate(step: int) -> float:
        return min((step + 1) / warmup, (num_steps - step) / max(1, num_steps - warmup))

    first = load_state(model, optimizer, place) if place and place.exists() else 0
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(first + step))
    model.train()
    started = said = time.monotonic()
    for step in range(first, num_steps):
        loss = next(losses)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if name and (time.monotonic() - said > 60 or step == num_steps - 1):
            said = time.monotonic()
            print(f"{name}: step {step + 1} of {num_steps}, loss {loss.item():.3f}, {said - started:.0f} s", flush=True)
        if place and step % SAVED_EVERY == SAVED_EVERY - 1:
            save_state(model, optimizer, step + 1, place)
    model.eval()


def save_state(model: nn.Module, optimizer: torch.optim.Optimizer, step: int, place: Path) -> None:
    """Weights and the optimizer's memory after so many steps, whole or not at all."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
    with written_whole(place) as part:
        save_file(tensors, part, metadata={"step": str(step)})


def reached(place: Path) -> int:
    """The step after which a state was kept; 0 where there is none."""
    if not place.exists():
        return 0
    with safe_open(place, "pt") as file:
        return int(file.metadata()["step"])


def load_state(model: nn.Module, optimizer: torch.optim.Optimizer, place: Path) -> int:
    """The step reached; model and optimizer as they were then."""
    slots: dict[int, dict] = {}
    weights = {}
    for name, tensor in load_file(place).items():
        kind, _, rest = name.partition(".")
        if kind == "model":
            weights[rest] = tensor
        else:
            index, slot = rest.split(".")
            slots.setdefault(int(index), {})[slot] = tensor
    model.load_state_dict(weights)
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return reached(place)


def padded(sequences: Sequence[Sequence[int]], value: int, multiple: int = 1) -> torch.Tensor:
    """Sequences of different lengths as one tensor, filled up on the right to a multiple of a length."""
    length = -(-max(map(len, sequences)) // multiple) * multiple
    return torch.tensor([[*sequence, *[value] * (length - len(sequence))] for sequence in sequences])


def batches(lengths: Sequence[int], batch_size: int, rng: random.Random, at_once: int = 4) -> Iterator[list[int]]:
    """Shuffled batches of indices, epoch after epoch, without end; some at a time are sorted by length, to pad less."""
    order = list(range(len(lengths)))
    while True:
        rng.shuffle(order)
        for start in range(0, len(order), at_once * batch_size):
            group = sorted(order[start : start + at_once * batch_size], key=lambda i: lengths[i])
            chunks = [group[at : at + batch_size] for at in range(0, len(group), batch_size)]
            rng.shuffle(chunks)
            yield from chunks


def classification_losses(
    model, encodings: dict, labels: Sequence[int], batch_size: int, seed: int, pad: int, bf16: bool = False
) -> Iterator[torch.Tensor]:
    """Losses of a sequence classifier over shuffled batches, without end."""
    labels = torch.tensor(labels)
    lengths = [len(ids) for ids in encodings["input_ids"]]
    for rows in batches(lengths, batch_size, random.Random(seed)):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(**batch_of(encodings, rows, pad), labels=labels[rows]).loss
        yield loss


def batch_of(encodings: dict, rows: Sequence[int], pad: int) -> dict[str, torch.Tensor]:
    return {
        key: padded([values[i] for i in rows], pad if key == "input_ids" else 0) for key, values in encodings.items()
    }


def by_length(lengths: Sequence[int], batch_size: int = 64) -> Iterator[list[int]]:
    """Batches of indices, from short to long, each index once: so that little is padding.

    >>> list(by_length([3, 1, 2], batch_size=2))
    [[1, 2], [0]]
    """
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    yield from (order[start : start + batch_size] for start in range(0, len(order), batch_size))


@torch.inference_mode()
def predictions(model, encodings: dict, pad: int, batch_size: int = 64) -> torch.Tensor:
    """The most likely label of each row, in order; batches are sorted by length."""
    lengths = [len(ids) for ids in encodings["input_ids"]]
    found = torch.empty(len(lengths), dtype=torch.long)
    for rows in by_length(lengths, batch_size):
        found[rows] = model(**batch_of(encodings, rows, pad)).logits.argmax(-1)
    return found
