"""Sets a class up and starts it: `make class`."""

import os
import secrets
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

from classroom.passwords import Passwords
from classroom.settings import ROOT, Settings, names_in
from tools.npm import packages

HEAD = """# Who may log in: one name a line, in small letters. Save the file, and they may.
# The first password that is typed for a name (eight characters or more) is its own from then on.
"""


def tell(text: str) -> None:
    """One line of progress."""
    print(text, flush=True)


def check_ports(settings: Settings) -> None:
    """Ends with a line where a port is in use."""
    from ftcourse.engine.sockets import listen

    ports = {"FTCOURSE_CLASS_PORT": settings.port, "FTCOURSE_CLASS_PROXY_PORT": settings.proxy_port}
    ports |= {"FTCOURSE_CLASS_HUB_PORT": settings.hub_port, "FTCOURSE_CLASS_ROOM_PORT": settings.room_port}
    for name, port in ports.items():
        public = port in (settings.port, settings.room_port)
        try:
            listen((settings.host or "0.0.0.0") if public else "127.0.0.1", port, "en").close()
        except OSError as error:
            sys.exit(f"make class: {error}\nName another port: {name}=NUMBER make class")


def get_proxy(settings: Settings) -> None:
    """Installs the proxy from the npm registry, once."""
    if settings.proxy.exists():
        return
    tell("Installing the proxy (npm; once)")
    try:
        packages(ROOT / "classroom", "use `ftcourse lab` on each machine: JupyterHub's proxy runs on it")
    except subprocess.CalledProcessError:
        sys.exit("make class: the npm registry could not be reached, or does not have the proxy")


def get_people(settings: Settings) -> None:
    """The list of names, and the teacher's password at the first start."""
    settings.folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    if not settings.learners.exists():
        settings.learners.write_text(HEAD + "".join(f"learner{n:02d}\n" for n in range(1, 31)), encoding="utf-8")
    tell(f"{len(names_in(settings.learners))} learners may log in: {settings.learners}")
    passwords = Passwords(settings.folder / "passwords.json")
    if "teacher" not in passwords.read():
        word = "-".join(secrets.token_hex(2) for _ in range(4))
        passwords.set("teacher", word)
        tell(f"Log in as: teacher   password, shown this once: {word}")


def main() -> None:
    """Sets up what is missing, and becomes JupyterHub."""
    settings = Settings()
    if not sys.platform.startswith("linux"):
        sys.exit("make class: a class's server needs Linux")
    if find_spec("jupyterhub") is None:
        sys.exit('make class: JupyterHub is missing; install it with: pip install -c constraints.txt -e ".[class]"')
    from classroom.spawner import may_be_others
    from ftcourse.room.settings import urls_of

    get_proxy(settings)
    check_ports(settings)
    get_people(settings)
    if may_be_others(str(settings.folder)):
        tell("Each learner is a user of the system's own number, with limits that the kernel holds")
    else:
        tell("Note: all learners run as the user who starts this; README.md says what that means")
    run(settings, urls_of(settings.host or "0.0.0.0", settings.port))


def run(settings: Settings, addresses: list[str]) -> None:
    """Runs JupyterHub until it is told to end."""
    log = settings.folder / "jupyterhub.log"
    config = Path(__file__).with_name("jupyterhub_config.py")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = os.environ | {"PYTHONPATH": str(ROOT), "FTCOURSE_CLASS": str(settings.folder), "PATH": path}
    command = [sys.executable, "-m", "jupyterhub", "-f", str(config)]
    tell(f"Starting JupyterHub (log: {log})")
    with open(log, "ab") as file:
        hub = subprocess.Popen(
            command, cwd=settings.folder, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: hub.terminate())
    while hub.poll() is None and not answers(settings):
        time.sleep(0.5)
    if hub.poll() is None:
        tell(f"The class is open at {', '.join(addresses)} until you press Ctrl-C")
    code = hub.wait()
    if code not in (0, -signal.SIGTERM, 128 + signal.SIGTERM):
        sys.exit(
            f"make class: JupyterHub ended ({code}). The end of its log:\n{log.read_text(errors='replace')[-2000:]}"
        )
    tell(f"The class is closed. What the learners wrote is kept in {settings.homes}")


def answers(settings: Settings) -> bool:
    """Whether the class's first page can be opened."""
    try:
        with urlopen(f"http://{settings.host or '127.0.0.1'}:{settings.port}/hub/login", timeout=5):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
