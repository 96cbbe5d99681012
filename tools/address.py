"""Writes the repository's address, from settings.ini, where readers meet it: READMEs, install cells, Colab badges.

`python -m tools.address` brings them in step and names the files that it changed; `python -m tools.address check` only
names those that are not.
"""

import re
import sys
from pathlib import Path

from tools import settings

ANYWHERE = (settings.PLACEHOLDER, "main")  # what a hash takes for the address, so that another one changes no hash
BEFORE = (
    r"colab\.research\.google\.com/github/|ftcourse(?:\[\w+\])? @ (?:git\+)?https://github\.com/"
    r"|git clone --depth 1 https://github\.com/"
)
BRANCH = r"(?P<kind>/blob/|/archive/refs/heads/)[\w.-]+?(?P<after>/nbs/|\.zip)"
ADDRESS = re.compile(rf"(?P<before>{BEFORE})[\w.-]+/[\w.-]+(?:{BRANCH})?")
FILE = re.compile(
    r"(?<=https://github\.com/)[\w.-]+/[\w.-]+/(blob|tree)/[\w.-]+(?=/(?:ftcourse|kit)/)"
)  # of this project
CLONED = re.compile(r"(git clone --depth 1 https://github\.com/[\w.-]+/([\w.-]+)\ncd )[\w.-]+")


def addressed(text: str, repository: str, branch: str) -> str:
    """A text with another address of the repository.

    >>> addressed('pip install "ftcourse[lab] @ git+https://github.com/a/b"', "maha/course", "main")
    'pip install "ftcourse[lab] @ git+https://github.com/maha/course"'
    """

    def put(match: re.Match) -> str:
        place = f"{match['kind']}{branch}{match['after']}" if match["kind"] else ""
        return f"{match['before']}{repository}{place}"

    text = FILE.sub(lambda match: f"{repository}/{match[1]}/{branch}", ADDRESS.sub(put, text))
    return CLONED.sub(r"\1\2", text)


def out_of_step() -> dict[Path, str]:
    """The files that have another address than settings.ini, with what they should have."""
    course, root = settings.settings(), settings.ROOT
    files = [*root.glob("README*.md"), *root.glob("nbs/*/*.ipynb"), *root.glob("nbs/*/*.md")]
    texts = {path: path.read_text(encoding="utf-8") for path in sorted(files)}
    wanted = {path: addressed(text, course["repository"], course["branch"]) for path, text in texts.items()}
    return {path: wanted[path] for path in texts if wanted[path] != texts[path]}


def main(arguments: list[str]) -> int:
    changes = out_of_step()
    for path, text in changes.items():
        print(path.relative_to(settings.ROOT))
        if arguments != ["check"]:
            path.write_text(text, encoding="utf-8", newline="\n")
    return int(arguments == ["check"] and bool(changes))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
