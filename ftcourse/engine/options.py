"""What a call of `finetune` may ask for beyond table, columns and configuration."""

import reprlib
from dataclasses import dataclass, fields

from ftcourse.engine.checks import check_number, known
from ftcourse.engine.cleaning import NUMBER, ONE_LABEL, SEVERAL
from ftcourse.engine.messages import trouble

METHODS = ("full", "head", "lora")


@dataclass(frozen=True)
class Options:
    """The options of `finetune`, by name; `ValueError` for a wrong value.

    - `multi_label`: whether a text may have several labels; None leaves it to the table to tell.
    - `regression`: labels are numbers, and so are the answers.
    - `method`: what is trained: "full" for all weights, "head" for a head over vectors made once, "lora" for thin
      matrices of rank `rank` beside the large ones, which are saved alone, or with `merge` as part of the model.

    >>> Options(regression=True).problem("stars")
    'regression'
    """

    multi_label: bool | None = None
    regression: bool = False
    method: str = "full"
    rank: int = 8
    merge: bool = False

    def __post_init__(self):
        if self.multi_label not in (None, True, False):
            raise trouble("multi_label", given=reprlib.repr(self.multi_label))
        if self.regression not in (True, False):
            raise trouble("regression", given=reprlib.repr(self.regression))
        known("method", self.method, METHODS)
        check_number("rank", self.rank, 1, whole=True)
        if self.merge not in (True, False):
            raise trouble("merge", given=reprlib.repr(self.merge))
        if self.method != "lora" and (self.merge or self.rank != 8):
            raise trouble("only_lora", given=self.method)

    def problem(self, label: object) -> str | None:
        """The problem that a call asks for; None where the table is to tell. A `ValueError` where it asks for two.

        >>> Options().problem("stars"), Options().problem(["food", "price"])
        (None, 'multi_label_classification')
        """
        if self.regression and (self.multi_label or not isinstance(label, str)):
            raise trouble("two_problems")
        if self.regression:
            return NUMBER
        if isinstance(label, str):
            return None if self.multi_label is None else SEVERAL if self.multi_label else ONE_LABEL
        if self.multi_label is False:
            raise trouble("one_of_columns", given=reprlib.repr(label))
        return SEVERAL


def options_of(given: dict) -> Options:
    """Options from the arguments of a call; a `ValueError` for a name that none has.

    >>> options_of({"colour": "blue"})
    Traceback (most recent call last):
    ValueError: unknown option 'colour'; known: multi_label, regression, method, rank, merge
    """
    for name in given:
        known("option", name, tuple(field.name for field in fields(Options)))
    return Options(**given)
