"""Conditions of the exercises of chapter 01."""

import torch


def negative(number, classify, texts) -> bool:
    return number == sum("NEG" in answer["label"].upper() for answer in classify(texts))


def same_score(spread, rate, review) -> bool:
    return abs(max(answer["score"] for answer in spread) - rate(review)[0]["score"]) < 1e-3


def nearest(position, vectors, extract, text_to_match) -> bool:
    wanted = extract(text_to_match, return_tensors=True)[0].mean(0)
    return int(position) == int(torch.nn.functional.cosine_similarity(vectors, wanted, dim=1).argmax())


CONDITIONS = {
    1: {"number": lambda number: number in range(101), "negative": negative},
    2: {
        "answers": lambda spread: all({"label", "score"} == answer.keys() for answer in spread),
        "all": lambda spread, rate: {answer["label"] for answer in spread} == rate.model.config.label2id.keys(),
        "review": same_score,
    },
    3: {"position": lambda position, vectors: int(position) in range(len(vectors)), "nearest": nearest},
}
