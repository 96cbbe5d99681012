"""Starts a learner's server: with a home that is kept, a name of its own on the Hub in the room, and limits."""

import asyncio
import hashlib
import hmac
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Float, Int, Unicode

from classroom.settings import ROOT, names_in
from ftcourse.engine.folders import written_whole
from ftcourse.room.names import Refusal, check_name
from ftcourse.room.people import People
from ftcourse.room.settings import client_settings

FIRST_UID = 20_000


@cache
def may_be_others(folder: str) -> bool:
    """Whether learners can be users of their own: root starts the class, and they may read Python and the folders."""
    if os.getuid() != 0:
        return False
    command = [sys.executable, "-c", f"import ftcourse, os; os.stat({f'{folder}/.'!r})"]
    env = {"PYTHONPATH": str(ROOT), "PATH": os.environ.get("PATH", "")}
    with suppress(OSError):
        who = {"user": FIRST_UID, "group": FIRST_UID, "extra_groups": []}
        return subprocess.run(command, env=env, cwd="/", capture_output=True, check=False, **who).returncode == 0
    return False


def number_of(name: str, path: Path) -> int:
    """A learner's number as a user of the system: the same each time, and nobody else's.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     [number_of(name, Path(folder, "numbers.json")) for name in ("maha", "lin", "maha")]
    [20001, 20002, 20001]
    """
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if name not in known:
        known[name] = max(known.values(), default=FIRST_UID) + 1
        with written_whole(path) as part:
            part.write_text(json.dumps(known), encoding="utf-8")
    return known[name]


def hub_token(folder: Path, name: str) -> str:
    """What a learner writes to the Hub in the room with: a name that the Hub takes, and a secret of the class."""
    try:
        person = check_name(name)
    except Refusal:  # as of a name in Arabic or Chinese, which no address can hold
        person = f"learner-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    key = (folder / "cookie_secret").read_bytes()
    return f"{person}:{hmac.new(key, name.encode(), 'sha256').hexdigest()[:24]}"


def claim_names(folder: Path, names: Iterable[str]) -> None:
    """Makes each name on the Hub in the room belong to its learner, before anybody else can take it."""
    people = People(folder / "room" / ".hub" / "people")
    for name in names:
        token = hub_token(folder, name)
        if not people.path(token.partition(":")[0]).is_file():
            with suppress(Refusal):
                people.name_of(token)


class FencedSpawner(LocalProcessSpawner):
    """A learner's server in `classroom/fence.py`."""

    folder = Unicode(config=True, help="The class's folder.")
    lang = Unicode("en", config=True, help="The language of the chapters that are copied.")
    memory = Float(4, config=True, help="GB that all programs of a learner may take together.")
    processes = Int(400, config=True, help="Processes and threads of a learner.")
    seconds = Int(3600, config=True, help="Seconds of processor time that each program may take.")
    room = Unicode("", config=True, help="Where the Hub in the room is.")

    @property
    def home(self) -> Path:
        """The learner's folder."""
        return Path(self.folder, "homes", self.user.name)

    @property
    def uid(self) -> int:
        """The learner's number; 0 where all run as the user who started the class."""
        return number_of(self.user.name, Path(self.folder, "numbers.json")) if may_be_others(self.folder) else 0

    def make_preexec_fn(self, name):
        """Nothing is to be done before the fence."""
        return None

    def user_env(self, env: dict) -> dict:
        """The environment: a home, one thread for each calculation, and the Hub in the room."""
        home = str(self.home)
        env |= {"USER": self.user.name, "LOGNAME": self.user.name, "HOME": home, "SHELL": "/bin/bash"}
        env |= {"PYTHONPATH": str(ROOT), "FTCOURSE_LANG": self.lang, "OMP_NUM_THREADS": "1"}
        env |= {"OMP_WAIT_POLICY": "PASSIVE", "TOKENIZERS_PARALLELISM": "false", "MALLOC_ARENA_MAX": "2"}
        env |= {"JUPYTER_RUNTIME_DIR": f"{home}/.jupyter-runtime", "PYTHONDONTWRITEBYTECODE": "1"}
        if self.room:
            env |= client_settings(self.room, hub_token(Path(self.folder), self.user.name), f"{home}/ftcourse-room")
        return env

    async def start(self):
        """Starts the server within its fence."""
        uid = self.uid
        Path(self.folder, "homes").mkdir(mode=0o711, parents=True, exist_ok=True)
        self.home.mkdir(mode=0o700, exist_ok=True)
        if self.room:
            names = [*names_in(Path(self.folder, "learners.txt")), "teacher", self.user.name]
            await asyncio.to_thread(claim_names, Path(self.folder), names)
        fence = [sys.executable, str(ROOT / "classroom" / "fence.py"), "--home", str(self.home), "--hide", self.folder]
        fence += ["--uid", str(uid), "--memory", str(self.memory), "--processes", str(self.processes)]
        fence += ["--seconds", str(self.seconds), "--chapters", str(ROOT / "nbs" / self.lang), "--"]
        server = [sys.executable, "-m", "jupyterhub.singleuser"]
        self.cmd = [*fence, *server, *(["--allow-root"] if os.getuid() == uid == 0 else [])]
        return await super().start()
