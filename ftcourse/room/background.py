"""The Hub in the room as a process of its own, started and stopped from a notebook or a test."""

import os
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile, mkdtemp

from ftcourse.engine.fetch import cache_folder
from ftcourse.engine.folders import written_whole
from ftcourse.engine.messages import message
from ftcourse.room.settings import client_settings

NAME = "me"
SERVER = ("starlette", "uvicorn", "markdown_it")  # the extra `hub`


def check_server(lang: str = "en") -> None:
    """Make sure that what a server needs is installed; a `RuntimeError` says how to get it.

    >>> check_server()
    """
    if any(find_spec(module) is None for module in SERVER):
        raise RuntimeError(message(lang, "cli", "needs_hub"))


@dataclass
class RoomHub:
    """A Hub that runs in the background, on this machine only. Ends with `stop()`, or where a `with` block ends.

    `url` is its address, `token` one that may write under the name before its colon, `settings` the environment that a
    client needs.
    """

    url: str
    token: str
    settings: dict[str, str]
    process: subprocess.Popen = field(repr=False)

    def stop(self) -> None:
        """End the server, and wait until it has ended."""
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> "RoomHub":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


# Whoever interrupts a cell of a notebook interrupts all processes of its group: the server is in none of them.
APART = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if os.name == "nt" else {"start_new_session": True}
RUNNING: dict[tuple, RoomHub] = {}  # by the call that started them


def past_proxy() -> dict[str, str]:
    """The setting by which clients reach this machine itself, where all else goes through a proxy.

    >>> set(past_proxy()) <= {"NO_PROXY", "no_proxy"}
    True
    """
    if not {"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"} & set(os.environ):
        return {}
    told = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "127.0.0.1"]
    return dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(filter(None, told)))


def own_token(folder: Path) -> str:
    """A token for the name `me`, made up once for a folder."""
    path = folder / ".hub" / "me.txt"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as part:
            part.write_text(f"{NAME}:{secrets.token_hex(8)}", encoding="utf-8")
    return path.read_text(encoding="utf-8")


def start_hub(
    folder: str | os.PathLike | None = None,
    *,
    lang: str = "en",
    token: str | None = None,
    port: int = 0,
    home: str | os.PathLike | None = None,
) -> RoomHub:
    """Start a Hub on this machine, in a process of its own, which ends when this one does.

    Without a `folder`, it has a temporary one, which goes when it ends. Without a `token`, one is made up for the name
    `me`. `home` is the cache for `HF_HOME`, by default `home` inside of the folder. The libraries of the caller are
    left as they are: set `os.environ` to the result's `settings` before you import them. The same call, made again,
    gives the Hub that is running. Raises `RuntimeError`, with what the server said, where it does not start.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, start_hub(folder) as hub:
    ...     hub.url, hub.settings["HF_ENDPOINT"] == hub.url, start_hub(folder) is hub
    ('http://127.0.0.1:...', True, True)
    """
    check_server(lang)
    call = (folder and Path(folder).resolve(), lang, token, port, home and Path(home).resolve())
    if call in RUNNING and RUNNING[call].process.poll() is None:
        return RUNNING[call]
    temporary = [] if folder else ["temporary"]
    folder = Path(folder or mkdtemp(prefix="ftcourse-hub-")).resolve()
    home = Path(home or folder / "home").resolve()
    command = [sys.executable, "-m", "ftcourse.room.serve", str(folder), lang, str(port), *temporary]
    with TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env={**os.environ, "PYTHONUTF8": "1"},
            **APART,
        )
        url = process.stdout.readline().strip()
        if not url:
            process.stdin.close()
            process.wait()
            process.stdout.close()
            said.seek(0)
            raise RuntimeError(said.read().decode(errors="replace").strip() or f"{command}: {process.returncode}")
    token = token or own_token(folder)
    fetched = {"FTCOURSE_CACHE": str(cache_folder().absolute())}  # stays where it is, wherever HF_HOME goes
    settings = client_settings(url, token, str(home)) | past_proxy() | fetched
    RUNNING[call] = RoomHub(url, token, settings, process)
    return RUNNING[call]
