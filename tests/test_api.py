"""What the package offered in version 0.1, name by name: still there, or the changelog says where it went."""

import importlib
import inspect
import re
from contextlib import suppress
from pathlib import Path

import pytest

from tools.settings import ROOT

NAMES = Path(__file__).with_name("public_api.txt").read_text(encoding="utf-8").splitlines()
MOVED = re.compile(r"^  - `(ftcourse\.\w+)`: (.+?)(?: → `(ftcourse\.[\w.]+)`)?\.?$", re.M)


def without_types(signature: inspect.Signature) -> str:
    """The names and defaults of parameters.

    >>> without_types(inspect.signature(without_types))
    '(signature)'
    """
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


def found(path: str) -> str | None:
    """The signature of what is at a path, empty where it has none; None where there is nothing."""
    value, parts = None, path.split(".")
    for number in range(len(parts), 0, -1):
        with suppress(ImportError):
            value = importlib.import_module(".".join(parts[:number]))
            break
    for name in parts[number:]:
        value = getattr(value, name, None)
    if value is None:
        return None
    with suppress(TypeError, ValueError):
        return without_types(inspect.signature(value))
    return ""


def told(changelog: str) -> dict[str, str]:
    """Where each name went, by its old path; empty where it is gone or takes other arguments."""
    places = {}
    for module, names, target in MOVED.findall(changelog):
        places |= {f"{module}.{name}": target and f"{target}.{name}" for name in re.findall(r"`([\w.]+)`", names)}
    return places


def lost(line: str, places: dict[str, str]) -> str:
    """What is wrong with a line of the list, or nothing."""
    path, signature = re.match(r"([\w.]+)(.*)", line).groups()
    if found(path) == signature:
        return ""
    if path not in places:
        return f"{path} is {'gone' if found(path) is None else 'another'}, and CHANGELOG.md does not say so"
    if places[path] and found(places[path]) is None:
        return f"{path} is not at {places[path]}, where CHANGELOG.md has it"
    return ""


@pytest.fixture(scope="module")
def places():
    return told((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def test_every_public_name_is_there_or_told(places):
    assert len(NAMES) > 200 and places
    assert [problem for line in NAMES if (problem := lost(line, places))] == []


def test_a_name_that_is_gone_untold_is_found(places):
    assert "gone" in lost("ftcourse.loop.nothing()", places)
    assert "another" in lost("ftcourse.loop.evaluate(model)", places)
    assert "not at" in lost("ftcourse.loop.old()", {"ftcourse.loop.old": "ftcourse.loop.new"})
