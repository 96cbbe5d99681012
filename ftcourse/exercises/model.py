"""Conditions of the exercises of chapter 04."""

import torch
from transformers import PreTrainedModel


def size(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def last_layer(number, tuned) -> bool:
    return number == size(tuned.classifier) + size(tuned.base_model.encoder.layer[-1])


def random(network, body) -> bool:
    return not torch.equal(network.base_model.get_input_embeddings().weight, body.get_input_embeddings().weight)


def even(warm, logits) -> bool:
    return warm(logits, 5.0).max() < logits.softmax(dim=-1).max() < warm(logits, 0.2).max()


CONDITIONS = {
    1: {
        "number": lambda number: isinstance(number, int) and number > 0,
        "body": lambda number, tuned: number < size(tuned) / 2,
        "layer": lambda number, tuned: number > size(tuned.classifier),
        "right": last_layer,
    },
    2: {
        "model": lambda network: isinstance(network, PreTrainedModel),
        "layers": lambda network: network.config.num_hidden_layers == 2,
        "head": lambda network, batch: network(**batch).logits.shape == (2, 5),
        "random": random,
    },
    3: {
        "function": callable,
        "sums": lambda warm, logits: torch.allclose(warm(logits, 2.0).sum(dim=-1), torch.ones(len(logits))),
        "one": lambda warm, logits: torch.allclose(warm(logits, 1.0), logits.softmax(dim=-1)),
        "even": even,
        "right": lambda warm, logits: torch.allclose(warm(logits, 0.5), (2 * logits).softmax(dim=-1)),
    },
}
