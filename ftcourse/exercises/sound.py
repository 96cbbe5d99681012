"""Conditions of the exercises of chapter 11."""

import numpy as np

GOAL, LEAST_WRONG, QUIETER = 0.8, 1 / 3, 4
COUNTS = (264_600, 48_000, 75)


def share_right(function, heard, meant) -> float:
    """The share of the texts for which the function gives the name that is meant."""
    return float(np.mean([function(text) == label for text, label in zip(heard, meant, strict=True)]))


def made(function, sounds) -> list[np.ndarray]:
    return [np.asarray(function(sound.copy())) for sound in sounds]


def added(function, sounds) -> list[float]:
    """How loud what was added is, as a share of the loudness of the clip; both as mean squares."""
    return [
        float(((other - sound) ** 2).mean() / (sound**2).mean())
        for sound, other in zip(sounds, made(function, sounds), strict=True)
    ]


def rate(function, transcribe, sounds, said, split) -> float:
    """The word error rate on what the function makes of the sounds."""
    from ftcourse.sound import word_error_rate

    heard = [transcribe(sound.astype(np.float32))["text"] for sound in made(function, sounds)]
    return word_error_rate(said, heard, split)


CONDITIONS = {
    1: {
        "function": callable,
        "name": lambda function, heard, meant: {function(text) for text in heard} <= {*meant},
        "share": lambda function, heard, meant, right: share_right(function, heard, meant) > right,
        "goal": lambda function, heard, meant: share_right(function, heard, meant) >= GOAL,
    },
    2: {
        "function": callable,
        "same": lambda function, sounds: all(
            one.shape == other.shape for one, other in zip(made(function, sounds), sounds, strict=True)
        ),
        "numbers": lambda function, sounds: all(np.isfinite(one).all() for one in made(function, sounds)),
        "quiet": lambda function, sounds: max(added(function, sounds)) <= 1 / QUIETER + 1e-3,
        "wrong": lambda function, transcribe, sounds, said, split: (
            rate(function, transcribe, sounds, said, split) >= LEAST_WRONG
        ),
    },
    3: {
        "three": lambda answer: isinstance(answer, tuple) and len(answer) == 3,
        "channels": lambda answer: answer[0] != COUNTS[0] // 2,
        "file": lambda answer: answer[0] == COUNTS[0],
        "waveform": lambda answer: answer[1] == COUNTS[1],
        "vectors": lambda answer: answer[2] in (COUNTS[2], COUNTS[2] - 1),
    },
}
