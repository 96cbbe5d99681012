"""Conditions of the exercises of chapter 04."""

import torch
from transformers import PreTrainedModel


def size(module, trainable: bool = False) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad or not trainable)


def table(module) -> torch.Tensor:
    return module.base_model.get_input_embeddings().weight


@torch.inference_mode()
def opinions(model, tokenizer) -> torch.Tensor:
    texts = ["Wonderful!", "The soup was cold, and nobody said sorry.", "好吃", "خدمة سيئة جدا"]
    return model.eval()(**tokenizer(texts, padding=True, return_tensors="pt")).logits.softmax(dim=-1)


def same_for_all(model, tokenizer) -> bool:
    found = opinions(model, tokenizer)
    return torch.allclose(found, found[:1].expand_as(found), atol=1e-4)


CONDITIONS = {
    1: {
        "model": lambda model: isinstance(model, PreTrainedModel),
        "head": lambda model: model.config.num_labels == 5,
        "few": lambda model: 0 < size(model, trainable=True) <= size(model) / 6,
        "frozen": lambda model, body: torch.equal(table(model), table(body)),
        "better": lambda model, score, chance: score(model) >= chance + 0.2,
    },
    2: {
        "model": lambda network: isinstance(network, PreTrainedModel),
        "layers": lambda network: network.config.num_hidden_layers == 2,
        "head": lambda network, batch: network(**batch).logits.shape == (2, 5),
        "random": lambda network, body: not torch.equal(table(network), table(body)),
    },
    3: {
        "model": lambda model: isinstance(model, PreTrainedModel),
        "copy": lambda model, stars: model is not stars,
        "whole": lambda _, stars, tokenizer: not same_for_all(stars, tokenizer),
        "head": lambda model, stars: torch.equal(model.classifier.weight, stars.classifier.weight),
        "same": lambda model, tokenizer: same_for_all(model, tokenizer),
    },
}
