"""Conditions of the exercises of chapter 00."""


def changes(before: str, after: str) -> int:
    """How many characters must be replaced, added or deleted to make one text of another.

    >>> changes("cold", "could"), changes("cold", "bold!"), changes("", "ab")
    (1, 2, 2)
    """
    costs = range(len(after) + 1)
    for row, old in enumerate(before, start=1):
        above, costs = costs, [row]
        for column, new in enumerate(after, start=1):
            costs.append(min(above[column] + 1, costs[-1] + 1, above[column - 1] + (old != new)))
    return costs[-1]


def stars(text: str, rate) -> int:
    """The number of stars that the pipeline finds likeliest for a text."""
    return int(max(rate([text])[0], key=lambda entry: entry["score"])["label"][0])


CONDITIONS = {
    1: {"number": lambda n: n == 2},
    2: {
        "texts": lambda texts: len(texts) == 5 and all(isinstance(text, str) for text in texts),
        "written": lambda texts: all(text.strip() for text in texts),
        "different": lambda texts: len({text.strip() for text in texts}) == 5,
        "better": lambda texts, star_score, to_beat: star_score(list(texts)) > to_beat,
    },
    3: {
        "text": lambda broken: isinstance(broken, str),
        "changed": lambda broken, text: broken.strip() != text.strip(),
        "small": lambda broken, text: changes(text, broken) <= 5,
        "far": lambda broken, text, rate: abs(stars(broken, rate) - stars(text, rate)) >= 2,
    },
}
