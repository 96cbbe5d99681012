"""Wheels for other computers: what a package needs on a system with a version of Python, told by the wheels themselves.

pip can download for another system, but asks its own which requirements count; so requirements are followed here.
"""

import platform as machine
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from functools import cache, cached_property
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import canonicalize_name, parse_wheel_filename

from tools.settings import ROOT

CONSTRAINTS = ROOT / "constraints.txt"
METADATA = re.compile(r"[^/]+\.dist-info/METADATA")


@dataclass(frozen=True)
class Target:
    """The laptops of a room: their system and their version of Python."""

    name: str
    python: str

    @property
    def platforms(self) -> list[str]:
        """The names of the system in names of wheels, the best first. Linux: from 2018 on (glibc 2.28)."""
        if self.name == "windows":
            return ["win_amd64"]
        if self.name == "macos":
            return list(mac_platforms((14, 0), "arm64"))
        old = ["manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64", "linux_x86_64"]
        return [*(f"manylinux_2_{minor}_x86_64" for minor in range(28, 4, -1)), *old]

    @cached_property
    def tags(self) -> set[Tag]:
        """What a wheel may be for.

        >>> Target("windows", "3.12").fits(Wheel(Path("torch-2.13.0-cp312-cp312-win_amd64.whl")))
        True
        """
        version = tuple(map(int, self.python.split(".")))
        abi = f"cp{version[0]}{version[1]}"
        pure = compatible_tags(version, interpreter=abi, platforms=self.platforms)
        return {*cpython_tags(version, abis=[abi], platforms=self.platforms), *pure}

    def fits(self, wheel: "Wheel") -> bool:
        """Whether a wheel can be installed there."""
        return not self.tags.isdisjoint(wheel.tags)

    @cached_property
    def markers(self) -> dict[str, str]:
        """What requirements may ask: `sys_platform == "win32"` and the like."""
        systems = {
            "linux": ("posix", "linux", "Linux", "x86_64"),
            "macos": ("posix", "darwin", "Darwin", "arm64"),
            "windows": ("nt", "win32", "Windows", "AMD64"),
        }
        names = ("os_name", "sys_platform", "platform_system", "platform_machine")
        version = {"python_version": self.python, "python_full_version": f"{self.python}.0"}
        return default_environment() | dict(zip(names, systems[self.name], strict=True)) | version

    def wants(self, requirement: Requirement, extra: str = "") -> bool:
        """Whether a requirement counts there, for a package with an extra."""
        return requirement.marker is None or requirement.marker.evaluate(self.markers | {"extra": extra})


def this_machine() -> str:
    """The platform that the command runs on."""
    return {"Windows": "windows", "Darwin": "macos"}.get(machine.system(), "linux")


class Wheel:
    """A wheel: its name, version and tags, from the name of the file, and what it requires, from within.

    >>> Wheel(Path("torch-2.13.0+cpu-cp311-cp311-win_amd64.whl")).version.local
    'cpu'
    """

    def __init__(self, path: Path):
        self.path = path
        self.name, self.version, _, self.tags = parse_wheel_filename(path.name)

    @cached_property
    def metadata(self) -> Message:
        """What the package says of itself."""
        with zipfile.ZipFile(self.path) as archive:
            return message_from_bytes(archive.read(next(n for n in archive.namelist() if METADATA.fullmatch(n))))

    @property
    def requires(self) -> list[Requirement]:
        """The packages that it requires."""
        return [Requirement(line) for line in self.metadata.get_all("Requires-Dist") or []]

    @property
    def python(self) -> SpecifierSet:
        """The versions of Python that it is for."""
        return SpecifierSet(self.metadata["Requires-Python"] or "")


def wheels_in(folder: Path) -> dict[str, Wheel]:
    """The wheels of a folder by the names of their packages; of two versions the newer one."""
    found = sorted((Wheel(path) for path in folder.glob("*.whl")), key=lambda wheel: wheel.version)
    return {wheel.name: wheel for wheel in found}


def closure(wheels: dict[str, Wheel], wanted: Requirement, target: Target) -> tuple[set[str], set[str]]:
    """The packages that `wanted` needs on these laptops, and the requirements that no wheel meets yet."""
    names, lacking, seen, waiting = set(), set(), set(), [wanted]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        names.add(name)
        wheel = wheels.get(name)
        if wheel is None or not requirement.specifier.contains(wheel.version, prereleases=True):
            lacking.add(f"{name}{requirement.specifier}")
            continue
        new = {(name, extra) for extra in ("", *requirement.extras)} - seen
        seen |= new
        waiting += [one for _, extra in sorted(new) for one in wheel.requires if target.wants(one, extra)]
    return names, lacking


def pip(*arguments: str | Path) -> str:
    """Runs pip, with its bars where somebody sees them; returns its last words where it failed."""
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    command = [sys.executable, "-m", "pip", *map(str, arguments), "--disable-pip-version-check", *quiet]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    lines = done.stderr.splitlines() or ["pip"]
    errors = [line for line in lines if line.startswith("ERROR:") and not line.endswith("Exception:")] or lines[-1:]
    return errors[-1].removeprefix("ERROR: ") if done.returncode else ""


@cache
def pins() -> dict[str, str]:
    """The versions of constraints.txt, by package.

    >>> pins()["jinja2"].startswith("3.")
    True
    """
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}


def download(requirements: set[str], folder: Path, target: Target, *more: str) -> str:
    """Brings wheels for these laptops, in the versions of constraints.txt; returns why not where that failed."""
    names = {one: Requirement(one).name for one in requirements}
    wanted = sorted(
        f"{name}=={pins()[name]}" if name in pins() and "==" not in one else one for one, name in names.items()
    )
    system = [part for name in target.platforms for part in ("--platform", name)]
    system += f"--python-version {target.python}.99 --implementation cp --only-binary :all: --no-deps".split()
    return pip("download", *wanted, "--dest", folder, *system, *more)
