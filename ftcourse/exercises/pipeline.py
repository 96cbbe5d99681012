"""Conditions of the exercises of chapter 01."""

SURE = 0.9


def mean_share(predictions, truth) -> float:
    """The share that is right in each domain, and of these the mean."""
    pairs = list(zip(predictions, truth, strict=True))
    shares = [[one == other for one, other in pairs if other == name] for name in set(truth)]
    return sum(sum(right) / len(right) for right in shares) / len(shares)


def is_position(position, rated) -> bool:
    return int(position) == position and 0 <= position < len(rated)


CONDITIONS = {
    1: {
        "list": lambda mine, domains: not isinstance(mine, str) and len(list(mine)) == len(domains),
        "names": lambda mine, domains: set(mine) <= set(domains),
        "score": lambda mine, domains, score: mean_share(mine, domains) > score,
    },
    2: {
        "text": lambda text: isinstance(text, str) and bool(text.strip()),
        "letters": lambda text: not any(character.isalpha() for character in text),
        "emoji": lambda text: text.isascii(),
        "sure": lambda text, classify: classify(text)[0]["score"] >= SURE,
    },
    3: {
        "position": is_position,
        "least": lambda position, rated: rated[int(position)]["score"] <= min(one["score"] for one in rated) + 1e-6,
    },
}
