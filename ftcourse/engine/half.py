"""A model that calculates in "bf16": its weights are rounded once, kept, and rounded again when they have changed."""

from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch

from ftcourse.engine.processes import is_out_of_memory

LARGE_TABLE = 1_000_000  # numbers in a table of vectors, from which only the rows that are looked up are rounded
SAMPLE = 8  # numbers of each weight by which it is known
OWN = ("_parameters", "_buffers", "_modules", "_forward_hooks")  # what a twin's parts don't share with the model's


@dataclass
class Half:
    """Rounded weights by name, and what those looked like that they were rounded from."""

    weights: dict[str, torch.Tensor]
    places: list[tuple]
    sample: torch.Tensor


KEPT: WeakKeyDictionary[torch.nn.Module, Half | None] = WeakKeyDictionary()  # None: a model that does not bear it


def large_tables(model: torch.nn.Module) -> list[torch.nn.Embedding]:
    """Tables of vectors that are too large to be rounded whole.

    >>> large_tables(torch.nn.Embedding(10, 2))
    []
    """
    tables = [part for part in model.modules() if isinstance(part, torch.nn.Embedding)]
    return [part for part in tables if part.weight.numel() >= LARGE_TABLE]


def marks_of(weights: dict[str, torch.Tensor]) -> tuple[list[tuple], torch.Tensor]:
    """By what a change of some weights is seen: where they lie, how often PyTorch saw them changed, and a sample.

    An optimizer that PyTorch does not count changes the sample. What nobody sees is a part of one weight that is
    changed through `.data`.

    >>> layer = torch.nn.Linear(2, 2)
    >>> before = marks_of(dict(layer.named_parameters()))[1]
    >>> _ = layer.weight.data.add_(1)
    >>> torch.equal(marks_of(dict(layer.named_parameters()))[1], before)
    False
    """
    places = [
        (name, weight.data_ptr(), 0 if weight.is_inference() else weight._version) for name, weight in weights.items()
    ]
    flat = (weight.detach().reshape(-1) for weight in weights.values())
    return places, torch.cat([numbers[:: max(1, len(numbers) // SAMPLE)] for numbers in flat])


def rounded(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The model's weights of 32 bits in 16, but for large tables, by name: as they are now.

    >>> layer = torch.nn.Linear(2, 1)
    >>> first = rounded(layer)
    >>> first["weight"].dtype, rounded(layer) is first
    (torch.bfloat16, True)
    """
    tables = {id(part.weight) for part in large_tables(model)}
    weights = {name: weight for name, weight in model.named_parameters() if weight.dtype == torch.float32}
    weights = {name: weight for name, weight in weights.items() if id(weight) not in tables}
    if not weights:
        return {}
    (places, sample), kept = marks_of(weights), KEPT.get(model)
    if kept is None or kept.places != places or not torch.equal(kept.sample, sample):
        kept = Half({name: weight.detach().bfloat16() for name, weight in weights.items()}, places, sample)
        KEPT[model] = kept
    return kept.weights


def forget(model: torch.nn.Module) -> None:
    """Let go of a model's rounded weights: they are rounded again, should somebody want them.

    >>> layer = torch.nn.Linear(2, 1)
    >>> _ = rounded(layer)
    >>> forget(layer)
    >>> layer in KEPT
    False
    """
    if KEPT.get(model) is not None:
        KEPT.pop(model, None)


def twin(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """The model's parts once more, with some other weights; whatever else they have is the model's own.

    >>> layer = torch.nn.Linear(2, 1)
    >>> other = twin(layer, {"weight": torch.zeros(1, 2)})
    >>> other(torch.ones(1, 2)).equal(layer.bias[None]), layer.weight.equal(other.weight)
    (True, False)
    """
    others = {id(weight): weights[name] for name, weight in model.named_parameters() if name in weights}
    twins = {part: object.__new__(type(part)) for part in model.modules()}
    for part, new in twins.items():
        vars(new).update(vars(part) | {name: vars(part)[name].copy() for name in OWN})
        new._parameters.update({name: others.get(id(weight), weight) for name, weight in part._parameters.items()})
        new._modules.update({name: twins.get(child) for name, child in part._modules.items()})
    return twins[model]


def is_bound(model: torch.nn.Module) -> bool:
    """Whether a part of the model calls itself by other ways than its class, which would lead from a twin back to it.

    >>> layer = torch.nn.Linear(2, 1)
    >>> layer.compile()
    >>> is_bound(layer), is_bound(torch.nn.Linear(2, 1))
    (True, False)
    """
    return any("forward" in vars(part) or part._compiled_call_impl for part in model.modules())


def in_half(model: torch.nn.Module, work: Callable[[Callable], object]):
    """What `work` returns: it is given a function that answers as the model does, in "bf16", also in other threads.

    The model itself stays as it is, for whoever works with it meanwhile. Where it does not bear rounded weights, the
    function answers in the mixed precision of `torch.autocast`.

    >>> with torch.inference_mode():
    ...     in_half(torch.nn.Linear(2, 1), lambda answer: answer(input=torch.ones(1, 2)).dtype)
    torch.bfloat16
    """
    device = getattr(model, "device", torch.device("cpu")).type

    def mixed(model: torch.nn.Module):
        def answer(**batch):
            with torch.autocast(device, torch.bfloat16):
                return model(**batch)

        return work(answer)

    if KEPT.get(model, ...) is None or is_bound(model):
        return mixed(model)
    try:
        other = twin(model, rounded(model))
        for part in large_tables(other):
            part.register_forward_hook(lambda part, given, vectors: vectors.bfloat16())
        return mixed(other)
    except RuntimeError as error:  # layers that want one type of numbers throughout, or lie on several devices
        if is_out_of_memory(error):
            raise
    found = mixed(model)
    KEPT[model] = None
    return found
