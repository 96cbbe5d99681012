"""Conditions of the exercises of chapter 09."""

import re

OWNER = "maha"


def right(name, accuracy_of, goal) -> bool:
    return accuracy_of(name) > goal


def not_main(branch) -> bool:
    return isinstance(branch, str) and branch not in ("main", "v1", "v2", "")


def main_kept(branch, accuracy_of, repo, goal) -> bool:
    return accuracy_of(repo) >= goal


def target(api, repo: str, tag: str) -> str:
    """The number of the commit that a tag points to."""
    return next(ref.target_commit for ref in api.list_repo_refs(repo).tags if ref.name == tag)


CONDITIONS = {
    1: {
        "name": lambda name: isinstance(name, str) and re.fullmatch(f"{OWNER}/[^/]+", name),
        "loaded": lambda name, accuracy_of: accuracy_of(name) >= 0,
        "better": right,
    },
    2: {
        "branch": not_main,
        "loaded": lambda branch, accuracy_of, repo: accuracy_of(repo, branch) >= 0,
        "wrong": lambda branch, accuracy_of, repo: accuracy_of(repo, branch) < 0.5,
        "main": main_kept,
    },
    3: {
        "number": lambda number: isinstance(number, str) and re.fullmatch("[0-9a-f]{40}", number),
        "tag": lambda number, api, repo: number == target(api, repo, "v1"),
    },
}
