"""The kit as it ships: its list of files, its folders once they are found whole, and models written out whole."""

import hashlib
import json
import os
import shutil
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

from ftcourse.engine.checks import known
from ftcourse.engine.folders import sync
from ftcourse.engine.messages import in_words, trouble

ASSETS = Path(find_spec("ftcourse").origin).parent / "assets"


def kit_trouble(key: str, error: type[Exception], place: Path) -> Exception:
    """The error for a kit that is not whole: what is wrong with a place in it, and how to get the kit back."""
    return trouble(key, error, place=place, restore=in_words("restore"))


@lru_cache
def manifest() -> dict[str, dict]:
    """Size in bytes and SHA-256 of each of the kit's files, by path under `ASSETS`.

    Raises `FileNotFoundError` where the list itself is missing, `OSError` where it cannot be read.

    >>> sorted(manifest()["models/stars/config.json"])
    ['bytes', 'sha256']
    """
    path = ASSETS / "manifest.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))["files"]
    except FileNotFoundError:
        raise kit_trouble("no_manifest", FileNotFoundError, path) from None
    except (ValueError, KeyError):
        raise kit_trouble("damaged_manifest", OSError, path) from None


@cache
def check_folder(folder: str) -> Path:
    """The path of a folder of the kit, once all its files are found to be whole.

    Raises `FileNotFoundError` for a missing file and `OSError` for an altered one; both name it.

    >>> check_folder("metrics/f1").name
    'f1'
    """
    files = {path: entry for path, entry in manifest().items() if path.startswith(f"{folder}/")}
    if not files:
        raise kit_trouble("no_kit_folder", FileNotFoundError, folder)
    for path, entry in files.items():
        check_file(path, entry["sha256"])
    for path in shards(ASSETS / folder):
        if path.parent != ASSETS / folder:
            place = path.relative_to(ASSETS).as_posix()
            check_file(place, manifest()[place]["sha256"])
    return ASSETS / folder


def check_file(path: str, sha256: str) -> None:
    """Make sure that a file of the kit is there and as it was made.

    >>> check_file("models/nothing.json", "0")
    Traceback (most recent call last):
    FileNotFoundError: A file of the kit is missing: ...
    """
    file = ASSETS / path
    if not file.is_file():
        raise kit_trouble("no_kit_file", FileNotFoundError, file)
    if hashlib.sha256(file.read_bytes()).hexdigest() != sha256:
        raise kit_trouble("altered_kit_file", OSError, file)


def shards(folder: Path) -> list[Path]:
    """The files with a model's weights that its index names; some may lie in a neighbouring folder.

    >>> [path.parent.name for path in shards(ASSETS / "models/sentiment")]
    ['encoder', 'sentiment', 'stars']
    """
    index = folder / INDEX
    if not index.is_file():
        return []
    places = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return sorted({Path(os.path.normpath(folder / place)) for place in places})


INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"


def export_model(name: str, directory: str | os.PathLike) -> Path:
    """Write a model of the kit into a new folder, whole, so that it can be copied and used without the kit.

    Raises `ValueError` for an unknown name, `FileExistsError` for a folder that is not empty, `OSError` where
    writing fails.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there:
    ...     sorted(path.name for path in export_model("stars", f"{there}/stars").glob("*.safetensors"))
    ['model.safetensors']
    """
    names = sorted({path.split("/")[1] for path in manifest() if path.startswith("models/")})
    source, target = check_folder(f"models/{known('model', name, tuple(names))}"), Path(directory)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise trouble("not_empty", FileExistsError, folder=target)
    fresh = target.with_name(f".{target.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        shutil.copytree(source, fresh, ignore=shutil.ignore_patterns("*.safetensors*"))
        join_shards(source, fresh / WHOLE)
        sync(fresh / WHOLE)
        if target.exists():
            target.rmdir()
        os.replace(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def missing_shards(folder: str | os.PathLike) -> str:
    """What to do about a model's folder that was copied without the neighbour that it shares weights with; else empty.

    >>> missing_shards(ASSETS / "models/stars")
    ''
    """
    folder = Path(folder)
    missing = [os.path.relpath(path, folder) for path in shards(folder) if not path.is_file()]
    return in_words("no_shard", missing=missing[0], folder=folder, name=folder.name) if missing else ""


def join_shards(folder: Path, file: Path) -> None:
    """All weights of a model's folder in one safetensors file, as they are."""
    from safetensors.numpy import load_file, save_file  # needs no torch, which takes seconds to import

    if (folder / WHOLE).is_file():
        shutil.copy(folder / WHOLE, file)
        return
    places = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
    shards = {place: load_file(folder / place) for place in sorted(set(places.values()))}
    save_file({name: shards[place][name] for name, place in places.items()}, file, metadata={"format": "pt"})
