"""Checks a learner's answers to the exercises, and says in the learner's language what is wrong with one."""

import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from ftcourse.engine.messages import message


@dataclass(frozen=True)
class Verdict:
    """Whether an exercise is solved, and what to tell the learner. Shown in green or red at the end of a cell.

    >>> Verdict(True, "Right.")
    ✓ Right.
    """

    solved: bool
    text: str

    def __repr__(self) -> str:
        return f"{'✓' if self.solved else '✗'} {self.text}"

    def _repr_html_(self) -> str:
        colour = "#1a7f37" if self.solved else "#b35900"
        return f'<div dir="auto" style="color:{colour}"><b>{escape(repr(self))}</b></div>'


class Checker:
    """Checks the exercises of a chapter.

    A call takes the exercise's number, the answer, and conditions by name, which are asked in order. The first that
    does not hold, or that cannot even be asked, gives the message `number.name` of the chapter's catalogue.

    >>> check = Checker("en", "00_start")
    >>> check(1, ..., number=lambda n: n == 2)
    ✗ Not solved yet: put your answer in place of the three dots in the cell above, run it, then run this one.
    >>> check(1, 2, number=lambda n: n == 2)
    ✓ Right.
    """

    def __init__(self, lang: str, chapter: str):
        self.lang, self.chapter = lang, chapter

    def __call__(self, number: int, answer: object, /, **conditions: Callable[[object], object]) -> Verdict:
        if not conditions:
            raise ValueError(f"exercise {number} has no conditions: name at least one, as in number=lambda n: n == 2")
        if answer is ...:
            return Verdict(False, message(self.lang, "common", "unsolved"))
        for name, holds in conditions.items():
            problem = failure(holds, answer)
            if problem is not None:
                text = message(self.lang, self.chapter, f"{number}.{name}", given=reprlib.repr(answer))
                return Verdict(False, f"{text} {problem}".strip())
        return Verdict(True, message(self.lang, "common", "solved"))


def failure(holds: Callable[[object], object], answer: object) -> str | None:
    """None where the condition holds; otherwise the error that asking it raised, or nothing to add.

    >>> failure(len, [1]), failure(len, []), failure(len, 1)
    (None, '', "(TypeError: object of type 'int' has no len())")
    """
    try:
        return None if holds(answer) else ""
    except Exception as error:
        return f"({type(error).__name__}: {error})"
