"""Conditions of the exercises of chapter 13."""

import os

import torch

KEPT, PAIRS, WORDS, TIMES = 0.9, 10, 3, 10


def smallest(change) -> int:
    """The smallest rank that keeps nine tenths of a matrix, in squares."""
    squares = torch.linalg.svdvals(change) ** 2
    return int((squares.cumsum(dim=0) / squares.sum() < KEPT).sum()) + 1


def ending(pairs) -> str:
    """The words that all replies have in common at their end."""
    words = [pair["reply"].split()[::-1] for pair in pairs]
    return " ".join(os.path.commonprefix(words)[::-1])


def unseen(teach, expects, pairs) -> bool:
    """Whether the ending became twice as expected: half the perplexity, or less."""
    pupil, words = teach(pairs), ending(pairs)
    with pupil.disable_adapter():
        before = expects(pupil, words)
    return expects(pupil, words) <= before / 2


CONDITIONS = {
    1: {
        "whole": lambda rank: isinstance(rank, int) and not isinstance(rank, bool) and rank >= 1,
        "enough": lambda rank, change: rank >= smallest(change),
        "smallest": lambda rank, change: rank == smallest(change),
    },
    2: {
        "list": lambda pairs: isinstance(pairs, list) and len(pairs) == PAIRS,
        "pair": lambda pairs: all(pair["review"].strip() and pair["reply"].strip() for pair in pairs),
        "different": lambda pairs: len({pair["review"] for pair in pairs}) == PAIRS,
        "ending": lambda pairs: len(ending(pairs).split()) >= WORDS,
        "learned": lambda pairs, teach, expects: unseen(teach, expects, pairs),
    },
    3: {
        "text": lambda text: isinstance(text, str) and len(text.split()) >= WORDS,
        "question": lambda text: text.strip().endswith("?"),
        "house": lambda text, manners: manners(text)[1] <= manners(text)[0] / TIMES,
    },
}
