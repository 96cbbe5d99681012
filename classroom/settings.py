"""What a class can be told: each setting has a name in the environment, and a value that suits thirty learners."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


def number(name: str, usual: float) -> float:
    """A number from the environment, or what is usual."""
    return float(os.environ.get(name) or usual)


@dataclass(frozen=True)
class Settings:
    """Where a class is kept, at which ports it listens, and what a learner may take."""

    folder: Path = Path(os.environ.get("FTCOURSE_CLASS") or ROOT / "build" / "class").absolute()
    lang: str = os.environ.get("FTCOURSE_LANG") or "en"
    host: str = os.environ.get("FTCOURSE_CLASS_HOST", "")
    port: int = int(number("FTCOURSE_CLASS_PORT", 8000))
    proxy_port: int = int(number("FTCOURSE_CLASS_PROXY_PORT", 8001))
    hub_port: int = int(number("FTCOURSE_CLASS_HUB_PORT", 8081))
    room_port: int = int(number("FTCOURSE_CLASS_ROOM_PORT", 8010))
    memory: float = number("FTCOURSE_CLASS_MEMORY", 4)  # GB, all programs of a learner together
    processes: int = int(number("FTCOURSE_CLASS_PROCESSES", 400))  # threads count, too
    seconds: int = int(number("FTCOURSE_CLASS_SECONDS", 3600))  # of processor time, of each program
    idle: int = int(number("FTCOURSE_CLASS_IDLE", 3600))  # seconds until a server that nobody uses ends

    @property
    def learners(self) -> Path:
        """The names of those who may log in, one a line."""
        return self.folder / "learners.txt"

    @property
    def homes(self) -> Path:
        """The learners' folders."""
        return self.folder / "homes"

    @property
    def proxy(self) -> Path:
        """The proxy's program."""
        return ROOT / "classroom" / "node_modules" / ".bin" / "configurable-http-proxy"


def names_in(path: Path) -> list[str]:
    """The names in a list of learners; lines that begin with # are remarks."""
    lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines() if path.is_file() else []
    return [line.strip().lower() for line in lines if line.strip() and not line.lstrip().startswith("#")]
