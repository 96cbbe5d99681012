"""The course's settings, from settings.ini, and the places of its notebooks."""

import configparser
from pathlib import Path

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"
CATALOGUES = ROOT / "ftcourse" / "catalogues"
PLACEHOLDER = "ftcourse/ftcourse"  # until the course has an address of its own


def settings() -> configparser.SectionProxy:
    """The section `[course]` of settings.ini."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "settings.ini", encoding="utf-8")
    return parser["course"]


def languages() -> list[str]:
    """Languages that have notebooks.

    >>> "en" in languages()
    True
    """
    return settings()["languages"].split()


def chapters() -> list[str]:
    """Names of the chapters, in reading order.

    >>> chapters()[0]
    '00_start'
    """
    return settings()["chapters"].split()


def repository() -> str:
    """The repository's address on GitHub, as OWNER/NAME; empty while settings.ini has the placeholder."""
    name = settings()["repository"]
    return "" if name == PLACEHOLDER else name


def notebook(lang: str, chapter: str) -> Path:
    """Where a chapter's notebook is.

    Raises `ValueError`, with the known ones, for an unknown language or chapter.
    """
    for kind, name, known in (("language", lang, languages()), ("chapter", chapter, chapters())):
        if name not in known:
            raise ValueError(f"unknown {kind} {name!r}; known: {', '.join(known)}")
    return ROOT / "nbs" / lang / f"{chapter}.ipynb"
