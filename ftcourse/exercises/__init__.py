"""Checks a learner's answers to the exercises, and says in the learner's language what is wrong with one."""

import inspect
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from importlib import import_module

from ftcourse.engine.messages import message, trouble


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
    """Checks the exercises of a chapter. Their conditions are in the module of this package that `conditions` finds.

    A call takes the exercise's number, the answer, and by keyword what the conditions need of the notebook. They are
    asked in order. The first that does not hold, or that cannot even be asked, gives the message `number.name` of the
    chapter's catalogue. `ValueError` for an unknown exercise, and for keywords that are not those that it needs.

    >>> check = Checker("en", "00_start")
    >>> check(1, ...)
    ✗ Not solved yet: put your answer in place of the three dots in the cell above, run it, then run this one.
    >>> check(1, 2)
    ✓ Right.
    """

    def __init__(self, lang: str, chapter: str):
        self.lang, self.chapter, self.exercises = lang, chapter, conditions(chapter)

    def __call__(self, number: int, answer: object, /, **values: object) -> Verdict:
        if number not in self.exercises:
            known = ", ".join(map(str, self.exercises))
            raise trouble("no_exercise", chapter=self.chapter, given=number, known=known)
        asked = self.exercises[number]
        wanted = {name for condition in asked.values() for name in needs(condition)}
        if wanted != values.keys():
            call = ", ".join([str(number), "answer", *(f"{name}={name}" for name in sorted(wanted))])
            raise trouble("exercise_call", number=number, call=call, given=sorted(values))
        if answer is ...:
            return Verdict(False, message(self.lang, "common", "unsolved"))
        for name, condition in asked.items():
            problem = failure(condition, answer, **{key: values[key] for key in needs(condition)})
            if problem is not None:
                text = message(self.lang, self.chapter, f"{number}.{name}", given=reprlib.repr(answer))
                return Verdict(False, f"{text} {problem}".strip())
        return Verdict(True, message(self.lang, "common", "solved"))


def conditions(chapter: str) -> dict[int, dict[str, Callable]]:
    """The conditions of a chapter's exercises: by number, and by the name of the message for those who miss one.

    The module is named like the chapter, without its number. A condition takes the answer first. What else it takes is
    handed to the check in the notebook, by the same name.

    >>> list(conditions("00_start")), list(conditions("00_start")[3])
    ([1, 2, 3], ['text', 'changed', 'small', 'far'])
    """
    return import_module(f"{__name__}.{chapter.split('_', 1)[1]}").CONDITIONS


def needs(condition: Callable) -> list[str]:
    """What a condition takes besides the answer, by name.

    >>> needs(lambda answer, model: model(answer)), needs(callable)
    (['model'], [])
    """
    return list(inspect.signature(condition).parameters)[1:]


def failure(condition: Callable[..., object], answer: object, **values: object) -> str | None:
    """None where the condition holds; otherwise the error that asking it raised, or nothing to add.

    >>> failure(len, [1]), failure(len, []), failure(len, 1)
    (None, '', "(TypeError: object of type 'int' has no len())")
    """
    try:
        return None if condition(answer, **values) else ""
    except Exception as error:
        return f"({type(error).__name__}: {error})"
