"""What a call of `finetune` may ask for beyond table, columns and configuration."""

import reprlib
from dataclasses import dataclass, fields

import numpy as np

from ftcourse.engine.checks import check_number, known
from ftcourse.engine.cleaning import NUMBER, ONE_LABEL, SEVERAL
from ftcourse.engine.fair import check_group
from ftcourse.engine.messages import trouble

FEWEST = 8  # tokens of a text that are read at once
METHODS = ("full", "head", "lora")


@dataclass(frozen=True)
class Options:
    """The options of `finetune`, by name; `ValueError` for a wrong value.

    - `multi_label`: whether a text may have several labels; None leaves it to the table to tell.
    - `regression`: labels are numbers, and so are the answers.
    - `group`: a column; rows with the same cell in it stay on one side of the split.
    - `max_length`: how many tokens of a text are read at once; None for as many as the model can.
    - `windows`: longer texts are read in windows that overlap by a quarter, and the mean of their answers counts; else
      such texts are cut off. In training, a text counts once, whatever its length, with up to 32 windows.
    - `method`: what is trained: "full" for all weights, "head" for a head over vectors made once, "lora" for thin
      matrices of rank `rank` beside the large ones, which are saved alone, or with `merge` as part of the model.

    >>> Options(regression=True).problem("stars")
    'regression'
    """

    multi_label: bool | None = None
    regression: bool = False
    group: str | None = None
    max_length: int | None = None
    windows: bool = False
    method: str = "full"
    rank: int = 8
    merge: bool = False

    def __post_init__(self):
        if self.multi_label not in (None, True, False):
            raise trouble("multi_label", given=reprlib.repr(self.multi_label))
        if self.regression not in (True, False):
            raise trouble("regression", given=reprlib.repr(self.regression))
        check_group(self.group)
        if self.windows not in (True, False):
            raise trouble("windows", given=reprlib.repr(self.windows))
        if self.max_length is not None:
            check_number("max_length", self.max_length, FEWEST, whole=True)
        known("method", self.method, METHODS)
        check_number("rank", self.rank, 1, whole=True)
        if self.merge not in (True, False):
            raise trouble("merge", given=reprlib.repr(self.merge))
        if self.method != "lora" and (self.merge or self.rank != 8):
            raise trouble("only_lora", given=self.method)
        for name, value in vars(self).items():
            if isinstance(value, np.generic):
                object.__setattr__(self, name, value.item())

    @property
    def reading(self) -> dict:
        """How much of a text is read, by the names of the arguments of `start_model`."""
        return {"max_length": self.max_length, "windows": self.windows}

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


def options_of(given: dict, kind: type) -> tuple[Options, dict]:
    """Options from the arguments of a call, and those that change a configuration of some kind, by its fields' names.

    Raises `ValueError` for a name that neither has.

    >>> from ftcourse.loop import TrainConfig
    >>> options_of({"rank": 8, "keep": "best"}, TrainConfig)[1]
    {'keep': 'best'}
    >>> options_of({"colour": "blue"}, TrainConfig)
    Traceback (most recent call last):
    ValueError: unknown option 'colour'; known: multi_label, regression, ...
    """
    own, changes = (tuple(field.name for field in fields(one)) for one in (Options, kind))
    for name in given:
        known("option", name, own + changes)
    options = Options(**{name: value for name, value in given.items() if name in own})
    return options, {name: value for name, value in given.items() if name in changes}
