"""Judges what was handed in, from outside: starts a process a chapter and language, gives it the cells, takes the
verdicts, and begins anew where it is lost."""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ftcourse.engine.messages import message, trouble
from ftcourse.grading.notebooks import PACKAGE, HandedIn, answer_names

NOBODY = 65534  # who answers are run as, where root grades
START = 900  # seconds that a chapter may take until its exercises
ALL_FENCES = {"network", "processes", "files"}


@dataclass
class Verdicts:
    """What came of a notebook: by exercise, whether it is solved and what to say to the learner."""

    handed_in: HandedIn
    solved: dict[int, bool] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)


def whole(text: object) -> str:
    """A text without half letters, which no file can hold.

    >>> whole("a\\ud800")
    'a?'
    """
    return str(text).encode("utf-8", "replace").decode()


def environment(scratch: Path) -> dict[str, str]:
    """What a judging process finds in its environment: nothing of the caller's but the search path of programs."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    homes = {
        name: str(scratch) for name in ("HOME", "TMPDIR", "HF_HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "IPYTHONDIR")
    }
    quiet = {"MPLBACKEND": "Agg", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    offline = {"FTCOURSE_SOURCE": "kit", "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    paths = {"PYTHONPATH": str(PACKAGE.parent), "PYTHONNOUSERSITE": "1", "PYTHONSAFEPATH": "1"}
    return kept | homes | quiet | offline | paths


def as_nobody(env: dict[str, str]) -> dict:
    """How a process is started as nobody, where root calls and nobody may read the course; or else as who calls."""
    if os.getuid() != 0:
        return {}
    user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    command = [sys.executable, "-c", "import ftcourse, torch.version, IPython"]
    with suppress(OSError):
        if subprocess.run(command, env=env, cwd="/", capture_output=True, check=False, **user).returncode == 0:
            return user
    return {}


class Judge:
    """Judges the notebooks of one chapter and language. `seconds` a cell or check, `memory` in bytes an answer."""

    def __init__(self, chapter: str, lang: str, seconds: float = 120, memory: int = 2_000_000_000):
        if not sys.platform.startswith("linux"):
            raise trouble("grading_system", RuntimeError)
        self.chapter, self.lang, self.seconds, self.memory = chapter, lang, seconds, memory
        self.numbers = [*answer_names(chapter, lang)]
        self.process, self.fences = None, None
        self.folder = Path(tempfile.mkdtemp(prefix="ftcourse-grading-"))

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, *_) -> None:
        self.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Starts the process, which runs the chapter; a `RuntimeError` says where that failed."""
        scratch = self.folder / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        env = environment(scratch)
        user = as_nobody(env)
        if user:
            for folder in (self.folder, scratch):
                os.chown(folder, NOBODY, NOBODY)
        asked = {"chapter": self.chapter, "lang": self.lang, "scratch": str(scratch)}
        asked |= {"seconds": self.seconds, "memory": self.memory}
        self.log = open(self.folder / "log", "wb")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ftcourse.grading.worker", json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=env,
            cwd="/",
            start_new_session=True,
            **user,
        )
        told = self.read(START)
        self.fences = (told or {}).get("fences")
        if not told or "failed" in told:
            self.end()
            text = (told or {}).get("failed") or (self.folder / "log").read_text(errors="replace")[-300:]
            raise trouble("grading_start", RuntimeError, chapter=self.chapter, reason=text)

    def read(self, seconds: float) -> dict | None:
        """The next line of the process; None where none comes in time."""
        content, end = b"", time.monotonic() + seconds
        pipe = self.process.stdout.fileno()
        while not content.endswith(b"\n"):
            if not select.select([pipe], [], [], max(end - time.monotonic(), 0))[0]:
                return None
            part = os.read(pipe, 1 << 16)
            if not part:
                return None
            content += part
        return json.loads(content)

    @property
    def missing(self) -> list[str]:
        """The fences that the system denies."""
        return sorted(ALL_FENCES - {*(self.fences or ())})

    def end(self) -> None:
        """Ends the process."""
        if self.process:
            self.process.kill()
            self.process.communicate()
            self.log.close()
            self.process = None

    def judge(self, handed_in: HandedIn) -> Verdicts:
        """The verdicts on a notebook."""
        for _ in range(2):
            if self.process is None:
                self.start()
            with suppress(OSError):
                self.process.stdin.write(json.dumps(handed_in.steps).encode() + b"\n")
                self.process.stdin.flush()
            told = self.read(60 + 3 * self.seconds * (len(handed_in.steps) + 1))
            if told:
                break
            self.end()  # an answer that ends its judge gets nothing, and the next one a new judge
        self.fences = (told or {}).get("fences", self.fences)
        found = Verdicts(handed_in)
        for number in self.numbers:
            lost = message(self.lang, "grading", "lost" if number in handed_in.lacks else "crashed")
            solved, text = (told or {}).get("verdicts", {}).get(str(number), [False, lost])
            found.solved[number], found.texts[number] = bool(solved), whole(text)
        return found
