"""What several test modules share."""

import gc
import os

import matplotlib.pyplot as plt
import pytest
import torch

from ftcourse.engine.messages import VARIABLE

pytest_plugins = ["tests.built"]  # the website, built once

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


def pytest_collection_finish(session):
    """No collection of garbage looks again through what was imported, which stays to the end: that takes a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def settings_kept():
    """What a lesson's beginning sets is put back, and pictures are closed: other sums on two threads, other bits.

    Each test starts in English, whatever a kit or a lesson chose before it.
    """
    num_threads, lang = torch.get_num_threads(), os.environ.pop(VARIABLE, "")
    yield
    os.environ[VARIABLE] = lang
    torch.set_num_threads(num_threads)
    plt.close("all")


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


@pytest.fixture
def call(tiny, tmp_path):
    """`finetune` with all that a test does not care about; `tiny` is the test module's own model."""
    from ftcourse.finetune import finetune
    from tests.tiny import FAST

    def run(table, **options):
        defaults = {"text": "review", "label": "stars", "model": tiny, "config": FAST, "output_dir": tmp_path / "out"}
        return finetune(table, **(defaults | options))

    return run
