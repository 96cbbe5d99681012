"""Conditions of the exercises of chapter 02."""

from transformers import PreTrainedTokenizerBase


def num_tokens(tokenizer, texts) -> list[int]:
    return [len(ids) for ids in tokenizer(texts)["input_ids"]]


def longest(position, tokenizer, texts) -> bool:
    counts = num_tokens(tokenizer, texts)
    return counts[position] == max(counts)


def joins(text: str):
    """A condition: a text's tokens are put together to the text again."""
    return lambda join, tokenizer: join(tokenizer.tokenize(text)) == text


def second_whole(encoding, tokenizer, pair) -> bool:
    second = tokenizer(pair["sentence2"])["input_ids"][1:]
    return list(encoding["input_ids"])[-len(second) :] == second


def fewer(own, own_writer_tokenizer, film_texts) -> bool:
    return sum(num_tokens(own, film_texts)) < sum(num_tokens(own_writer_tokenizer, film_texts))


CONDITIONS = {
    1: {"position": lambda position, texts: position in range(len(texts)), "longest": longest},
    2: {
        "function": callable,
        "string": lambda join, tokenizer: isinstance(join(tokenizer.tokenize("pizzeria")), str),
        "word": joins("pizzeria"),
        "words": joins("pizzeria pizzeria"),
    },
    3: {
        "encoding": lambda encoding: len(encoding["input_ids"]) == len(encoding["attention_mask"]),
        "length": lambda encoding, limit: len(encoding["input_ids"]) == limit,
        "pair": lambda encoding, tokenizer: list(encoding["input_ids"]).count(tokenizer.sep_token_id) == 2,
        "second": second_whole,
    },
    4: {
        "tokenizer": lambda own: isinstance(own, PreTrainedTokenizerBase),
        "bytes": lambda own: own.decode(own("☃")["input_ids"]) == "☃",
        "size": lambda own: len(own) <= 3000,
        "fewer": fewer,
    },
}
