"""Keras, on PyTorch. Its backend is chosen by a variable before it is imported, and cannot be changed afterwards; where
Keras is missing, or runs on another backend, an `ImportError` says what to do, in one line."""

import os
from importlib import import_module
from types import ModuleType

from ftcourse.engine.messages import trouble


def keras_on_torch() -> ModuleType:
    """Keras, imported with PyTorch as its backend. `ImportError`, in the reader's language, where that cannot be.

    >>> keras_on_torch().backend.backend()
    'torch'
    """
    os.environ["KERAS_BACKEND"] = "torch"
    try:
        found = import_module("keras")
    except ModuleNotFoundError as error:
        raise trouble("no_keras", ImportError, reason=error) from None
    if found.backend.backend() != "torch":
        raise trouble("keras_backend", ImportError, given=found.backend.backend())
    return found


keras = keras_on_torch()
