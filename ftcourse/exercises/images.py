"""Conditions of the exercises of chapter 12."""

import numpy as np
import torch
from PIL import Image

GOAL, MOST = 0.95, 1 / 3


def made(function, images) -> list:
    return [function(image.copy()) for image in images]


def are_images(results) -> bool:
    return all(isinstance(result, Image.Image) for result in results)


@torch.inference_mode()
def share_right(results, model, processor, labels) -> float:
    """The share of the images that the model names as the labels say."""
    pixel_values = processor([image.convert("RGB") for image in results], return_tensors="pt")["pixel_values"]
    answers = model(pixel_values=pixel_values.to(model.device)).logits.argmax(-1).tolist()
    return float(np.mean([model.config.id2label[i] == label for i, label in zip(answers, labels, strict=True)]))


def holds(larger: Image.Image, image: Image.Image) -> bool:
    """Whether an image stands somewhere in a larger one, pixel for pixel."""
    if larger.width < image.width or larger.height < image.height:
        return False
    small, large = np.asarray(image.convert("L")), np.asarray(larger.convert("L"))
    windows = np.lib.stride_tricks.sliding_window_view(large, small.shape)
    return bool((windows == small).all(axis=(2, 3)).any())


def fair(larger: Image.Image, image: Image.Image) -> bool:
    """Whether what is around it is paper: no shade occurs that is not in the image itself, or white."""
    return set(np.unique(np.asarray(larger.convert("L")))) <= {255, *np.unique(np.asarray(image.convert("L")))}


CONDITIONS = {
    1: {
        "function": callable,
        "images": lambda function, images: are_images(made(function, images[:4])),
        "same": lambda function, images: (
            [one.size for one in made(function, images[:4])] == [one.size for one in images[:4]]
        ),
        "share": lambda function, model, processor, images, labels: (
            share_right(made(function, images), model, processor, labels) >= GOAL
        ),
    },
    2: {
        "function": callable,
        "images": lambda function, images: are_images(made(function, images[:4])),
        "holds": lambda function, images: all(map(holds, made(function, images[:20]), images[:20])),
        "fair": lambda function, images: all(map(fair, made(function, images[:20]), images[:20])),
        "share": lambda function, model, processor, images, labels: (
            share_right(made(function, images), model, processor, labels) <= MOST
        ),
    },
    3: {
        "pair": lambda answer: isinstance(answer, tuple) and len(answer) == 2,
        "vectors": lambda answer: answer[0] != 144,
        "cls": lambda answer: answer[0] == 145,
        "numbers": lambda answer: answer[1] != 1024,
        "patch": lambda answer: answer[1] == 3072,
    },
}
