"""Conditions of the exercises of chapter 06."""

from types import SimpleNamespace

import torch

MAX_STEPS, MARGIN = 12, 0.1


class Watched(torch.nn.Module):
    """A model of one weight that notes when it is called, and when gradients reach the weight."""

    def __init__(self):
        super().__init__()
        self.weight, self.calls = torch.nn.Parameter(torch.tensor([2.0])), []
        self.weight.register_hook(lambda _: self.calls.append("backward"))

    def forward(self, labels):
        self.calls.append("forward")
        return SimpleNamespace(loss=((self.weight - labels) ** 2).mean(), logits=self.weight)


def watched_step(function) -> tuple[list[str], float, object]:
    """What a step calls, how far it moves the weight of a small model in three rounds, and what it returns."""
    model = Watched()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.0)

    def noted(name, method):
        return lambda *args, **options: (model.calls.append(name), method(*args, **options))[1]

    optimizer.step = noted("step", optimizer.step)
    optimizer.zero_grad = noted("zero_grad", optimizer.zero_grad)
    before, calls = model.weight.item(), []
    for _ in range(3):
        model.calls.clear()
        returned = function(model, {"labels": torch.tensor([0.0, 1.0])}, optimizer)
        calls += [sorted(model.calls)]
    same = calls[0] if all(one == calls[0] for one in calls) else []
    return same, abs(model.weight.item() - before), returned


CONDITIONS = {
    1: {
        "whole": lambda n: n == int(n),
        "accumulation": lambda n: n < 1000,
        "epochs": lambda n: n > 200,
        "number": lambda n: n == 575,
    },
    2: {
        "function": callable,
        "calls": lambda function: watched_step(function)[0] == ["backward", "forward", "step", "zero_grad"],
        "loss": lambda function: isinstance(watched_step(function)[2], torch.Tensor),
        "still": lambda function: watched_step(function)[1] == 0,
    },
    3: {
        "history": lambda history: type(history).__name__ == "History",  # the notebook has its own
        "steps": lambda history: len(history.losses) <= MAX_STEPS,
        "scores": lambda history: "accuracy" in history.metrics[-1],
        "better": lambda history, weak: history.metrics[-1]["accuracy"] >= weak + MARGIN - 1e-9,
    },
}
