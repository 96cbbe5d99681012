"""The class: JupyterHub with real servers and kernels, limits that hold, copies that are kept."""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import pytest
import requests

from classroom.settings import Settings, names_in
from ftcourse.engine.memory import free_memory
from tests.chromium import lacking
from tools.settings import ROOT, notebook

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a class's server needs Linux")
CONFIG = ROOT / "classroom" / "jupyterhub_config.py"
FENCE = ROOT / "classroom" / "fence.py"
EXTRA = """
load_subconfig({config!r})
c.JupyterHub.services.append({{"name": "test", "api_token": {token!r}}})
scopes = ["admin:users", "admin:servers", "access:servers", "tokens"]
c.JupyterHub.load_roles.append({{"name": "test", "scopes": scopes, "services": ["test"]}})
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Class:
    """A running class, and what a learner's browser does in it."""

    def __init__(self, folder: Path, learners: list[str], **settings: object):
        if find_spec("jupyterhub") is None:
            lacking('jupyterhub: pip install "ftcourse[class]"')
        if not Settings().proxy.exists():
            npm = shutil.which("npm") or lacking("npm")
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
            if subprocess.run(command, cwd=ROOT / "classroom", capture_output=True, check=False).returncode:
                lacking("configurable-http-proxy from the npm registry")
        (folder / "learners.txt").write_text("# a remark\n" + "\n".join(learners), encoding="utf-8")
        self.folder, self.token = folder, secrets.token_hex(16)
        self.names = [f"FTCOURSE_CLASS_{name}" for name in ("PORT", "PROXY_PORT", "HUB_PORT", "ROOM_PORT")]
        ports = {name: free_port() for name in self.names}
        self.url, self.room = (f"http://127.0.0.1:{ports[self.names[n]]}" for n in (0, 3))
        (folder / "config.py").write_text(EXTRA.format(config=str(CONFIG), token=self.token), encoding="utf-8")
        given = {f"FTCOURSE_CLASS_{name.upper()}": value for name, value in settings.items()}
        given |= ports | {"FTCOURSE_CLASS": folder, "FTCOURSE_CLASS_HOST": "127.0.0.1", "PYTHONPATH": ROOT}
        env = os.environ | {name: str(value) for name, value in given.items()} | {"FTCOURSE_LANG": "en"}
        env["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), env["PATH"]])
        self.log = open(folder / "log", "wb")  # noqa: SIM115
        command = [sys.executable, "-m", "jupyterhub", "-f", str(folder / "config.py")]
        self.process = subprocess.Popen(command, cwd=folder, env=env, stdout=self.log, stderr=self.log)
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"token {self.token}"

    def __enter__(self) -> "Class":
        self.until(lambda: self.session.get(f"{self.url}/hub/api/", timeout=5).ok)
        return self

    def __exit__(self, *_) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.log.close()

    def until(self, true, seconds: float = 180) -> None:
        deadline = time.monotonic() + seconds
        while True:
            try:
                if true():
                    return
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline and self.process.poll() is None, (self.folder / "log").read_text()[
                -5000:
            ]
            time.sleep(0.3)

    def start(self, name: str) -> None:
        """Starts a learner's server, and waits until it is there."""
        users = f"{self.url}/hub/api/users/{name}"
        if self.session.get(users).status_code == 404:
            assert self.session.post(users).ok
        assert self.session.post(f"{users}/server").ok
        self.until(lambda: self.session.get(users).json()["servers"].get("", {}).get("ready"), 300)

    def kernel(self, name: str, folder: str = "") -> "Kernel":
        made = self.session.post(f"{self.url}/user/{name}/api/kernels", json={"name": "python3", "path": folder})
        assert made.ok, made.text
        return Kernel(self, name, made.json()["id"])


class Kernel:
    """A learner's kernel, through the proxy, as JupyterLab speaks to it."""

    def __init__(self, room: Class, name: str, number: str):
        import websocket

        self.room, self.name, self.number = room, name, number
        address = f"{room.url.replace('http', 'ws')}/user/{name}/api/kernels/{number}/channels"
        self.socket = websocket.create_connection(address, header=[f"Authorization: token {room.token}"], timeout=900)

    def run(self, code: str, seconds: float = 900) -> str:
        """What a cell prints and shows; `RuntimeError` tells its error, `EOFError` that the kernel died."""
        asked = secrets.token_hex(8)
        header = {"msg_id": asked, "msg_type": "execute_request", "username": "", "session": asked, "version": "5.3"}
        content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "stop_on_error": True}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        self.socket.send(json.dumps(message))
        self.socket.settimeout(seconds)
        said, error = "", None
        while True:
            told = json.loads(self.socket.recv())
            kind, content = told["msg_type"], told["content"]
            if kind == "status" and content["execution_state"] in ("dead", "restarting", "autorestarting"):
                raise EOFError(content["execution_state"])
            if told["parent_header"].get("msg_id") != asked:
                continue
            if kind == "stream":
                said += content["text"]
            elif kind == "execute_result":
                said += content["data"]["text/plain"]
            elif kind == "error":
                error = f"{content['ename']}: {content['evalue']}"
            elif kind == "status" and content["execution_state"] == "idle":
                if error:
                    raise RuntimeError(error)
                return said


def test_two_learners_in_a_class(tmp_path):
    """One test, so that however the tests are shared among processes, the class is started once."""
    with Class(tmp_path, ["maha", "lin"], seconds=10, memory=1.5) as room:
        with ThreadPoolExecutor() as pool:
            list(pool.map(room.start, ["maha", "lin"]))
        maha, lin = room.kernel("maha"), room.kernel("lin")
        homes_limits_and_a_shelf(room, maha, lin)
        the_hub_in_the_room_and_who_may_log_in(room, lin)
        who_fills_memory_or_loops_for_ever_harms_nobody_else(room, maha, lin)


def homes_limits_and_a_shelf(room: Class, maha: Kernel, lin: Kernel) -> None:
    assert maha.run("import os; os.path.expanduser('~')").strip("'") == str(room.folder / "homes" / "maha")
    assert maha.run("import resource as r; r.getrlimit(r.RLIMIT_CPU)") == "(10, 10)"
    assert maha.run("os.environ['OMP_NUM_THREADS'], os.getpriority(os.PRIO_PROCESS, 0)") == "('1', 5)"
    lin.run("open('secret.txt', 'w').write('mine')")
    assert "00_start.ipynb" in maha.run("os.listdir(os.path.expanduser('~/course-en'))")
    assert "05_trainer.ipynb" in maha.run("os.listdir(os.path.expanduser('~/all-chapters/ar'))")
    for path in (ROOT / "nbs" / "en" / "05_trainer.ipynb", room.folder / "passwords.json"):
        with pytest.raises(RuntimeError, match="Read-only|Permission|FileNotFound"):
            maha.run(f"open({str(path)!r}, 'a')")
    with pytest.raises(RuntimeError, match="FileNotFound|Permission"):
        maha.run(f"open({str(room.folder / 'homes' / 'lin' / 'secret.txt')!r})")
    seen = maha.run("[n for n in os.listdir('/proc') if n.isdigit()]").count("'") // 2
    assert seen < 12  # those of the own server


def who_fills_memory_or_loops_for_ever_harms_nobody_else(room: Class, greedy: Kernel, other: Kernel) -> None:
    endless = room.kernel("maha")
    with ThreadPoolExecutor() as pool:
        loop = pool.submit(endless.run, "while True: pass")
        with pytest.raises(RuntimeError, match="MemoryError"):  # more at once than the kernel lets it have
            greedy.run("a = bytearray(5 << 30)")
        assert greedy.run("'alive'") == "'alive'"
        shared = "import mmap, time\nm = mmap.mmap(-1, 3 << 30)\nfor n in range(0, 3 << 30, 4096):\n    m[n] = 1\n"
        with pytest.raises(EOFError):  # more than all together may take, in memory that the kernel's limit leaves out
            greedy.run(shared + "time.sleep(20)")
        assert other.run("sum(range(1000))") == "499500"
        with pytest.raises(EOFError):  # its processor time is used up
            loop.result(120)
    assert other.run("1 + 1") == "2"
    assert room.kernel("maha").run("2 + 2") == "4"  # the server of the one who looped is there as before


def the_hub_in_the_room_and_who_may_log_in(room: Class, lin: Kernel) -> None:
    room.until(lambda: requests.get(room.room, timeout=5).ok)
    assert lin.run("import os; os.environ['HF_ENDPOINT']").strip("'") == room.room

    def log_in(name: str, password: str) -> bool:
        browser = requests.Session()
        browser.get(f"{room.url}/hub/login")
        form = {"username": name, "password": password, "_xsrf": browser.cookies["_xsrf"]}
        return browser.post(f"{room.url}/hub/login?next=/hub/home", data=form).status_code == 200

    words = [("maha", "short"), ("maha", "blue door 7"), ("maha", "red door 77"), ("stranger", "blue door 7")]
    assert [log_in(*pair) for pair in words] == [False, True, False, False]
    kept = (room.folder / "passwords.json").read_text()
    assert "blue door" not in kept and (room.folder / "passwords.json").stat().st_mode & 0o77 == 0


def test_a_changed_copy_is_never_overwritten(tmp_path):
    from classroom.copies import copy_chapters

    source, home = tmp_path / "nbs", tmp_path / "home"
    source.mkdir()
    for name in ("00.ipynb", "01.ipynb", "02.ipynb"):
        (source / name).write_text("old")
    assert copy_chapters(source, home) == ["00.ipynb", "01.ipynb", "02.ipynb"] and copy_chapters(source, home) == []
    (home / "00.ipynb").write_text("mine")
    (home / "02.ipynb").unlink()
    for name in ("00.ipynb", "01.ipynb", "02.ipynb", "03.ipynb"):
        (source / name).write_text("new")
    (home / "03.ipynb").write_text("my own")
    assert copy_chapters(source, home) == ["01.ipynb"]
    assert {path.name: path.read_text() for path in home.glob("*.ipynb")} == {
        "00.ipynb": "mine",
        "01.ipynb": "new",
        "03.ipynb": "my own",
    }


def test_the_number_of_processes_is_limited():
    """With a user of its own, where root tests: the kernel lets root itself have as many as it wants."""
    uid = 0 if os.getuid() else 20_077
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        command = [sys.executable, FENCE, "--home", f"{folder}/homes/maha", "--hide", folder, "--uid", uid]
        command += ["--memory", 1, "--processes", 20, "--seconds", 20, "--", "/bin/sh", "-c"]
        script = f"for n in {' '.join(map(str, range(30)))}; do sleep 3 & done; echo all"
        done = subprocess.run([*map(str, command), script], capture_output=True, text=True, timeout=60)
        owner = Path(folder, "homes", "maha").stat().st_uid
    assert "fork" in done.stderr.lower() and "all" not in done.stdout, done
    assert owner == (uid or os.getuid())


def test_a_port_in_use_is_told(tmp_path):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        env = os.environ | {"FTCOURSE_CLASS": str(tmp_path), "FTCOURSE_CLASS_PORT": str(port), "PYTHONPATH": str(ROOT)}
        if not Settings().proxy.exists():
            (shutil.which("npm")) or lacking("npm")
        done = subprocess.run([sys.executable, "-m", "classroom"], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 1 and str(port) in done.stderr and "FTCOURSE_CLASS_PORT=NUMBER" in done.stderr
    assert not (tmp_path / "passwords.json").exists()


def test_the_list_of_learners_is_read(tmp_path):
    (tmp_path / "learners.txt").write_text("# who\n\n Maha \nlin\n", encoding="utf-8")
    assert names_in(tmp_path / "learners.txt") == ["maha", "lin"] and names_in(tmp_path / "none.txt") == []


@pytest.mark.long
def test_ten_learners_run_chapter_05_at_once(tmp_path):
    free = free_memory()
    if free < 29e9:
        pytest.skip(f"ten learners at the end of chapter 05 take about 28 GB of memory; {free / 1e9:.0f} GB are free")
    names = [f"learner{n:02d}" for n in range(1, 11)]
    cells = [cell.source for cell in nbformat.read(notebook("en", "05_trainer"), 4).cells if cell.cell_type == "code"]
    with Class(tmp_path, names) as room, ThreadPoolExecutor(10) as pool:
        began = time.monotonic()

        def work(name: str) -> float:
            room.start(name)
            kernel = room.kernel(name, "course-en")
            for source in cells:
                kernel.run(source)
            kernel.run("assert first.state.best_metric > 0.65")
            return time.monotonic() - began

        took = list(pool.map(work, names))
    print(f"ten learners, chapter 05: the first after {min(took):.0f} s, the last after {max(took):.0f} s")
    assert max(took) < 900


def test_all_who_log_in_for_the_first_time_at_once_keep_their_passwords(tmp_path):
    from classroom.passwords import Passwords

    passwords, names = Passwords(tmp_path / "passwords.json"), [f"learner{number}" for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(lambda name: passwords.check(name, f"door of {name}"), names))
    assert {*passwords.read()} == {*names} and all(passwords.check(name, f"door of {name}") for name in names)


def test_names_as_people_write_them_are_let_in(tmp_path):
    from classroom.passwords import ListAuthenticator

    (tmp_path / "learners.txt").write_text("\ufeffmaha\n", encoding="utf-8")
    (tmp_path / "odd.txt").write_bytes("maha\n\u674e\n".encode("gbk"))
    assert names_in(tmp_path / "learners.txt") == ["maha"] and names_in(tmp_path / "odd.txt")[0] == "maha"
    door = ListAuthenticator(learners=str(tmp_path / "learners.txt"), passwords=str(tmp_path / "passwords.json"))
    assert asyncio.run(door.authenticate(None, {"username": "Maha ", "password": "blue door 7"})) == "maha"


def test_a_name_on_the_hub_is_its_learners_before_anybody_can_take_it(tmp_path):
    from classroom.spawner import claim_names, hub_token
    from ftcourse.room.names import Refusal
    from ftcourse.room.people import People

    (tmp_path / "cookie_secret").write_bytes(b"secret")
    names = ["maha", "\u674e\u96f7", "o'brien", "teacher"]
    for _ in range(2):
        claim_names(tmp_path, names)
    tokens = [hub_token(tmp_path, name) for name in names]
    people = People(tmp_path / "room" / ".hub" / "people")
    assert all(token.isascii() for token in tokens) and len({*tokens}) == 4
    assert [people.name_of(token) for token in tokens] == [token.partition(":")[0] for token in tokens]
    with pytest.raises(Refusal):
        people.name_of("teacher:abcd")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_a_learner_puts_in_place_of_the_folder_for_temporary_files_opens_nothing(tmp_path, kind):
    home, outside = tmp_path / "class" / "homes" / "maha", tmp_path / "outside"
    home.mkdir(parents=True)
    outside.mkdir()
    (outside / "a.txt").write_text("not yours")
    (home / ".temporary").symlink_to(outside) if kind == "link" else (home / ".temporary").write_text("")
    script = f"cat {home}/.temporary/a.txt; ls {home}/.temporary; echo x > {home}/.temporary/b.txt && echo mine"
    command = [sys.executable, FENCE, "--home", home, "--hide", tmp_path / "class", "--memory", 1, "--processes", 50]
    done = subprocess.run([*map(str, command), "--seconds", "20", "--", "/bin/sh", "-c", script], capture_output=True)
    assert done.stdout == b"mine\n" and {path.name for path in outside.iterdir()} == {"a.txt"}


def test_chapters_are_copied_within_the_fence(tmp_path):
    """As the learner, who may have put a link to the class's files in their place."""
    folder, chapters = tmp_path / "class", tmp_path / "nbs" / "en"
    home, secret = folder / "homes" / "maha", folder / "passwords.json"
    (home / "course-en").mkdir(parents=True)
    chapters.mkdir(parents=True)
    (chapters / "00.ipynb").write_text("chapter")
    secret.write_text("{}")
    (home / "course-en" / ".ftcourse-copies.json").symlink_to(secret)
    command = [sys.executable, FENCE, "--home", home, "--hide", folder, "--memory", 1, "--processes", 50]
    command += ["--seconds", 20, "--chapters", chapters, "--", "/bin/cat", home / "course-en" / "00.ipynb"]
    done = subprocess.run([*map(str, command)], capture_output=True)
    assert done.stdout == b"chapter" and secret.read_text() == "{}" and (home / "all-chapters").is_symlink()
