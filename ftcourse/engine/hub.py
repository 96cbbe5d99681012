"""The Hugging Face Hub: switched on or off, reachable or not, and models loaded from it or from a folder safely."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from ftcourse.engine.checks import known
from ftcourse.engine.messages import in_words, trouble

OFFLINE_SWITCHES = {
    "HF_HUB_OFFLINE": ("huggingface_hub.constants", "datasets.config"),
    "HF_DATASETS_OFFLINE": ("datasets.config",),
    "HF_EVALUATE_OFFLINE": ("evaluate.config",),
}


ASKED_OFFLINE = os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def set_offline(offline: bool) -> None:
    """Keep the Hugging Face libraries off the network or let them use it, whether they are imported yet or not.

    >>> set_offline(True)
    >>> os.environ["HF_HUB_OFFLINE"]
    '1'
    """
    for variable, modules in OFFLINE_SWITCHES.items():
        os.environ[variable] = str(int(offline))
        for module in modules:
            if module in sys.modules:
                setattr(sys.modules[module], variable, offline)


def hub_trouble(seconds: float = 5) -> str:
    """What is wrong with the Hub: it is switched off, or does not answer within some seconds. Empty where it answers.

    >>> hub_trouble(0).startswith("The Hugging Face Hub")
    True
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return in_words("hub_off" if ASKED_OFFLINE else "hub_off_by_kit")
    replies = []

    def ask() -> None:
        try:
            replies.append(get_session().head(constants.ENDPOINT, timeout=seconds))
        except Exception as error:
            replies.append(error)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    answered = replies and not isinstance(replies[0], Exception)
    return "" if answered else in_words("hub_unreachable", address=constants.ENDPOINT)


def check_hub() -> None:
    """Make sure that the Hub answers. `ConnectionError`, with a way back, where it does not.

    >>> set_offline(True)
    >>> check_hub()
    Traceback (most recent call last):
    ConnectionError: The Hugging Face Hub is switched off ...
    """
    if problem := hub_trouble():
        raise trouble("no_hub", ConnectionError, problem=problem)


def why_offline(name: str | os.PathLike) -> str:
    """Why a model is looked for on this machine only; empty for a folder, and where the Hub answers.

    >>> why_offline(Path(__file__).parent)
    ''
    """
    return "" if Path(name).is_dir() else hub_trouble()


@contextmanager
def not_waiting() -> Iterator[None]:
    """While it lasts, a Hub that does not answer is not asked: what was fetched before is taken from this machine.

    The libraries themselves would try again for half a minute, for each file. Afterwards they are as they were.

    >>> with not_waiting():
    ...     pass
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE or not hub_trouble():
        yield
        return
    pairs = [(sys.modules.get(module), name) for name, modules in OFFLINE_SWITCHES.items() for module in modules]
    before = [(module, name, getattr(module, name)) for module, name in pairs if module]
    asked = {name: os.environ[name] for name in OFFLINE_SWITCHES if name in os.environ}
    set_offline(True)
    try:
        yield
    finally:
        set_offline(False)
        os.environ.update(asked)
        for module, name, value in before:
            setattr(module, name, value)


SOURCES = ("kit", "hub")


def in_the_room(endpoint: str) -> bool:
    """Whether a Hub's address is of this machine or of the local network: who asks there does not leave the room.

    >>> in_the_room("http://127.0.0.1:8000"), in_the_room("http://192.168.1.7:8000"), in_the_room("https://huggingface.co")
    (True, True, False)
    """
    host = urlsplit(endpoint).hostname or ""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith(".local")


def choose_source(source: str | None) -> str:
    """The source asked for, or set in the variable `FTCOURSE_SOURCE`, or "kit"; readies the libraries for it.

    With the kit, they stay off the network, but for a Hub in the room, where `HF_ENDPOINT` names one.

    Raises `ValueError` for an unknown source, `ConnectionError` for the Hub where it cannot be reached.

    >>> choose_source("kit")
    'kit'
    """
    source = known("source", source or os.environ.get("FTCOURSE_SOURCE") or "kit", SOURCES)
    set_offline(ASKED_OFFLINE or (source == "kit" and not in_the_room(os.environ.get("HF_ENDPOINT", ""))))
    if source == "hub" and not ASKED_OFFLINE:
        check_hub()
    return source
