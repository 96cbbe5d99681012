"""No chapter touches the network while the kit is the source."""

import os
import subprocess
import sys

import nbformat
import pytest

from tools.learn import run_notebook
from tools.settings import chapters, notebook

GUARD = '''
import os, socket

def refuse(event, arguments):
    """Writes down and refuses every look-up and connection that is not to this machine."""
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        place = arguments[1] if event in ("socket.connect", "socket.sendto") else arguments[0]
        host = place[0] if isinstance(place, tuple) else place
        if isinstance(host, bytes):
            host = host.decode(errors="replace")
        if host and not str(host).startswith(("127.", "::1", "localhost", "/", "\\0", "0.0.0.0")):
            with open(os.environ["NETWORK_LOG"], "a") as log:
                log.write(f"{event} {host}\\n")
            raise OSError(f"network use: {event} {host}")

import sys
sys.addaudithook(refuse)
'''


@pytest.fixture
def guarded(tmp_path, monkeypatch):
    """An environment in which each Python process refuses the network and writes down who asked for it."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(GUARD)
    monkeypatch.setenv("NETWORK_LOG", str(tmp_path / "network.log"))
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE", "FTCOURSE_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    return tmp_path


@pytest.mark.parametrize("chapter", chapters())
def test_chapters_stay_off_the_network(chapter, guarded):
    nb = nbformat.read(notebook("en", chapter), as_version=4)
    run_notebook(nb, guarded, extra_path=str(guarded / "site"))
    assert not (guarded / "network.log").exists(), (guarded / "network.log").read_text()


def test_the_guard_refuses(guarded):
    script = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=1)"
    environment = {**os.environ, "PYTHONPATH": str(guarded / "site")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "network use" in done.stderr
    assert "192.0.2.1" in (guarded / "network.log").read_text()
