"""Chromium for tests that look at pages. Where it is missing, they are skipped; in CI, they fail."""

import os
import shutil
import subprocess
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from filelock import FileLock

from tools.settings import BUILD, ROOT

SHOTS = BUILD / "shots"
QUIET = ("background-networking", "component-update", "sync", "quic", "gpu", "dev-shm-usage")
FLAGS = ["--headless=new", "--no-sandbox", "--no-first-run", "--hide-scrollbars"]
FLAGS += [f"--disable-{feature}" for feature in QUIET]
CUT = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"


def in_ci() -> bool:
    """Whether what is missing is a failure here."""
    return os.environ.get("CI", "").lower() in ("1", "true")


def lacking(what: str) -> None:
    """Skip the test for want of something; in CI, let it fail."""
    (pytest.fail if in_ci() else pytest.skip)(f"no {what}")


def start_chromium(*flags: str, **capabilities: object):
    """A Chromium that cannot reach the network, with its driver."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        lacking("chromium, or no chromedriver")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, CUT, *flags):
        options.add_argument(flag)
    for name, value in capabilities.items():
        options.set_capability(name.replace("_", ":"), value)
    return webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))


def wait_for(address: str, seconds: float = 60) -> None:
    """Until a server answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urlopen(address, timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"{address} does not answer"
            time.sleep(0.5)


def axe() -> str:
    """The source of axe-core, at the version of tests/axe, from the npm registry once."""
    folder = BUILD / "axe"
    path = folder / "node_modules" / "axe-core" / "axe.min.js"
    BUILD.mkdir(exist_ok=True)
    with FileLock(BUILD / "axe.lock"):
        for name in ("package.json", "package-lock.json"):
            fresh = (ROOT / "tests" / "axe" / name).read_bytes()
            folder.mkdir(exist_ok=True)
            if not (folder / name).is_file() or (folder / name).read_bytes() != fresh or not path.is_file():
                (folder / name).write_bytes(fresh)
                shutil.rmtree(folder / "node_modules", ignore_errors=True)
        if not path.is_file():
            npm = shutil.which("npm") or lacking("npm")
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
            if done.returncode or not path.is_file():
                lacking(f"axe-core from the npm registry: {done.stderr[-300:]}")
    return Path(path).read_text(encoding="utf-8")
