"""Conditions of the exercises of chapter 02."""

from transformers import PreTrainedTokenizerBase

MOST_CHANGES = 3


def fewer(own, num_tokens, film_texts) -> bool:
    return sum(map(len, own(film_texts)["input_ids"])) < num_tokens


def changes(old: str, new: str) -> int:
    """How many characters must be replaced, inserted or left out to turn one text into the other.

    >>> changes("good", "godo"), changes("good", "good!")
    (2, 1)
    """
    row = list(range(len(new) + 1))
    for number, character in enumerate(old, start=1):
        above, row = row, [number]
        for place, other in enumerate(new):
            row.append(min(above[place + 1] + 1, row[place] + 1, above[place] + (character != other)))
    return row[-1]


def second_whole(encoding, tokenizer, pair) -> bool:
    second = tokenizer(pair["sentence2"])["input_ids"][1:]
    return list(encoding["input_ids"])[-len(second) :] == second


CONDITIONS = {
    1: {
        "tokenizer": lambda own: isinstance(own, PreTrainedTokenizerBase),
        "bytes": lambda own: own.decode(own("☃")["input_ids"]) == "☃",
        "size": lambda own: len(own) <= 3000,
        "fewer": fewer,
    },
    2: {
        "string": lambda text: isinstance(text, str),
        "changed": lambda text, victim: text != victim,
        "few": lambda text, victim: changes(victim, text) <= MOST_CHANGES,
        "tokens": lambda text, victim, rate: rate.tokenizer.tokenize(text) != rate.tokenizer.tokenize(victim),
        "fooled": lambda text, victim, rate: rate(text)[0]["label"] != rate(victim)[0]["label"],
    },
    3: {
        "encoding": lambda encoding: len(encoding["input_ids"]) == len(encoding["attention_mask"]),
        "length": lambda encoding, limit: len(encoding["input_ids"]) == limit,
        "pair": lambda encoding, tokenizer: list(encoding["input_ids"]).count(tokenizer.sep_token_id) == 2,
        "second": second_whole,
    },
}
