"""What may be the name of a person, a repository, a branch or a file; and what is said where something may not be."""

import re

from ftcourse.engine.messages import message

KINDS = {"models": "", "datasets": "datasets/", "spaces": "spaces/"}  # and how their addresses begin
NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")
WINDOWS = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.I)  # no file or folder can be called so there
OWN = ("api", "datasets", "spaces", "models", "lfs", "name")  # words of the Hub's own addresses, and of its advice


class Refusal(Exception):
    """Something that the Hub does not do: an HTTP status, the code that clients know it by, and words for the reader.

    >>> print(Refusal("no_file", path="a.txt").words("en"))
    there is no file 'a.txt' in this revision; ...
    """

    def __init__(self, key: str, status: int = 400, code: str = "", **values):
        super().__init__(key)
        self.key, self.status, self.code, self.values = key, status, code, values

    def words(self, lang: str) -> str:
        """What was given, what was expected and what to do, in a language."""
        return message(lang, "room", f"error.{self.key}", **self.values)


def check_name(name: str) -> str:
    """The name of a person or of a repository, without what stands before the slash; or else a `Refusal`.

    >>> check_name("bert-base-cased")
    'bert-base-cased'
    >>> check_name("..")
    Traceback (most recent call last):
    ftcourse.room.names.Refusal: name
    """
    odd = "--" in name or ".." in name or name.lower().endswith((".git", ".lock")) or WINDOWS.fullmatch(name)
    if odd or not NAME.fullmatch(name):
        raise Refusal("name", given=name)
    return name


def check_repo_id(repo_id: str) -> str:
    """A repository's name with that of its owner before it, as `maha/my-model`; or else a `Refusal`.

    >>> check_repo_id("maha/my-model")
    'maha/my-model'
    """
    owner, slash, name = repo_id.partition("/")
    if not slash:
        raise Refusal("repo_id", given=repo_id)
    check_name(owner), check_name(name)
    return repo_id


def check_path(path: str) -> str:
    """A file's path inside its repository; a `Refusal` for one that could lead out of a folder, or that no disk takes.

    >>> check_path("data/train.parquet")
    'data/train.parquet'
    >>> check_path("../secret")
    Traceback (most recent call last):
    ftcourse.room.names.Refusal: path
    """
    parts = path.split("/") if isinstance(path, str) else [""]
    odd = any(part in ("", ".", "..", ".git") for part in parts) or any(ord(c) < 32 or c in '\\:*?"<>|' for c in path)
    if odd or len(path.encode("utf-8", "replace")) > 1000:
        raise Refusal("path", given=path)
    return path


def check_ref(name: str) -> str:
    """The name of a branch or of a tag; or else a `Refusal`.

    >>> check_ref("v1.0")
    'v1.0'
    """
    if not all(NAME.fullmatch(part) for part in name.split("/")) or ".." in name or re.fullmatch("[0-9a-f]{40}", name):
        raise Refusal("ref", given=name)
    return name
