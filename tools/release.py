"""What `make release` asks before it begins, and what it puts together in the end: build/release/.

`python -m tools.release check` names everything that is not ready; `python -m tools.release gather` collects wheel,
stick and website, which the Makefile builds in between. Nothing is tagged or published.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import ftcourse
from tools import settings
from tools.address import out_of_step
from tools.bundle import add_hashes
from tools.wheels import this_machine


def git(*arguments: str) -> list[str]:
    """What git answers, a line each."""
    done = subprocess.run(["git", *arguments], cwd=settings.ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def problems(version: str = ftcourse.__version__) -> list[str]:
    """What keeps this version from being released."""
    root, found = settings.ROOT, []
    if not settings.repository():
        found.append(
            f"settings.ini: `repository` is the placeholder {settings.PLACEHOLDER}. "
            "Set it to OWNER/NAME on GitHub, then run: .venv/bin/python -m tools.address"
        )
    elif changes := out_of_step():
        names = ", ".join(path.relative_to(root).as_posix() for path in list(changes)[:3])
        found.append(f"{len(changes)} files with another address, such as {names}: .venv/bin/python -m tools.address")
    latest = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    if not latest or latest[1] != version:
        found.append(f"CHANGELOG.md begins with {latest and latest[1]}, and ftcourse/__init__.py says {version}")
    for path in sorted(root.glob("README*.md")):
        others = set(re.findall(r"ftcourse-([\d.]+)-py3", path.read_text(encoding="utf-8"))) - {version}
        if others:
            found.append(f"{path.name} names the wheel of {', '.join(sorted(others))}, not {version}")
    if f"v{version}" in git("tag"):
        found.append(f"there is a tag v{version} already: raise __version__ in ftcourse/__init__.py")
    if changed := git("status", "--porcelain"):
        found.append(f"not committed: {', '.join(line[3:] for line in changed[:5])}{', ...' if changed[5:] else ''}")
    return found


def gather(version: str = ftcourse.__version__) -> Path:
    """The folder with wheel, stick and website, and the hashes of all three."""
    out, bundle, name = settings.BUILD / "release", settings.BUILD / "bundle", f"ftcourse-{this_machine()}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copy2(bundle / name / "wheels" / f"ftcourse-{version}-py3-none-any.whl", out)
    shutil.copy2(bundle / f"{name}.zip", out / f"ftcourse-{version}-{this_machine()}.zip")
    shutil.make_archive(str(out / f"ftcourse-{version}-site"), "zip", settings.BUILD / "site")
    add_hashes(out)
    return out


def main(arguments: list[str]) -> int:
    if arguments == ["gather"]:
        out = gather()
        print((out / "SHA256SUMS").read_text(encoding="utf-8"), end="")
        print(f"{out}: ready. Tag it: git tag v{ftcourse.__version__}")
        return 0
    found = problems()
    for problem in found:
        print(problem, file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
