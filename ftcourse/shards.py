"""Models whose weights lie in several files, some of them in a neighbouring folder: `stars` and `sentiment` share most of theirs with `encoder`."""

import json
import os
import shutil
from pathlib import Path

from ftcourse.kit import NAMES, in_kit, known

INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"


def export_model(name: str, directory: str | os.PathLike) -> Path:
    """Write a model of the kit into a new folder, whole, so that it can be copied and used without the kit.

    Raises `ValueError` for an unknown name, `FileExistsError` for a folder that is not empty, `OSError` where writing fails.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there:
    ...     sorted(path.name for path in export_model("stars", f"{there}/stars").glob("*.safetensors"))
    ['model.safetensors']
    """
    source, target = Path(in_kit("model", known("model", name, NAMES["model"]), "en")), Path(directory)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} is there and is not an empty folder; nothing is overwritten: name another one")
    fresh = target.with_name(f".{target.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        shutil.copytree(source, fresh, ignore=shutil.ignore_patterns("*.safetensors*"))
        join_shards(source, fresh / WHOLE)
        if target.exists():
            target.rmdir()
        os.replace(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def missing_shards(folder: str | os.PathLike) -> str:
    """What to do about a model's folder that was copied without the neighbour that it shares weights with; else empty.

    >>> missing_shards(in_kit("model", "stars", "en"))
    ''
    """
    index = Path(folder) / INDEX
    if not index.is_file():
        return ""
    places = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    missing = [place for place in places if not (index.parent / place).is_file()]
    advice = f"write the kit's model whole, and copy that: ftcourse export {index.parent.name} DIR"
    return f"{missing[0]} is missing beside {index.parent}: {advice}." if missing else ""


def join_shards(folder: Path, file: Path) -> None:
    """All weights of a model's folder in one safetensors file, as they are."""
    from safetensors.torch import load_file, save_file

    if (folder / WHOLE).is_file():
        shutil.copy(folder / WHOLE, file)
        return
    places = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
    shards = {place: load_file(folder / place) for place in sorted(set(places.values()))}
    save_file({name: shards[place][name] for name, place in places.items()}, file, metadata={"format": "pt"})
