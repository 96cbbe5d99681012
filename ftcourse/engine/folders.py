"""Folders that are claimed, filled whole or not at all, and gone on with."""

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ftcourse.engine.messages import trouble

MARK = ".ftcourse.json"  # in a folder that a call of `finetune` has begun to fill


def claim_folder(folder: str | os.PathLike, resume: bool = False, begun: str = "checkpoint-*.safetensors") -> Path:
    """The folder, made where it was missing. One with something in it is only taken with `resume`.

    `begun` is the pattern of a file that tells that there is something to go on with.

    Raises `FileExistsError` where it is not empty, `OSError` where it cannot be made or written to.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there:
    ...     claim_folder(f"{there}/model").is_dir()
    True
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(not path.name.startswith(".trial-") for path in folder.iterdir())
        trial = folder / f".trial-{os.getpid()}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise trouble("not_writable", OSError, folder=str(folder), reason=error.strerror) from error
    if taken and not resume:
        raise trouble("begun" if any(folder.glob(begun)) else "taken", FileExistsError, folder=str(folder))
    return folder


def check_begun(folder: Path, begun: Mapping, now: Mapping, names: Iterable[str], key: str = "other_work") -> None:
    """Make sure that work goes on as it was begun; a `ValueError` tells the first of the names that has another value.

    >>> check_begun(Path("model"), {"lr": 5e-4}, {"lr": 1e-4}, ["lr"])
    Traceback (most recent call last):
    ValueError: the work in 'model' was begun with lr=0.0005, not 0.0001; call it as then, or choose another folder
    """
    for name in names:
        if begun.get(name) != now.get(name):
            raise trouble(key, folder=str(folder), name=name, was=begun.get(name), given=now.get(name))


def claim_run(folder: str | os.PathLike, resume: bool, call: Mapping) -> Path:
    """The folder for a call, which is noted in it; with `resume`, a folder that the same call has begun to fill.

    Raises `FileExistsError` for any other folder that is not empty, `ValueError` where another call was noted.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there:
    ...     folder = claim_run(f"{there}/model", False, {"lr": 5e-4})
    ...     claim_run(folder, True, {"lr": 1e-4})
    Traceback (most recent call last):
    ValueError: the work in '...model' was begun with lr=0.0005, not 0.0001; ...
    """
    mark, call = Path(folder) / MARK, json.loads(json.dumps(call))
    if not (resume and mark.is_file()):
        folder = claim_folder(folder, begun=MARK)
        with written_whole(mark, folder / f".trial-{os.getpid()}") as part:  # a name that makes no folder taken
            part.write_text(json.dumps(call), encoding="utf-8")
        return folder
    begun = json.loads(mark.read_text(encoding="utf-8"))
    check_begun(folder, begun, call, call)
    return claim_folder(folder, resume=True)


def sync(path: Path) -> None:
    """Wait until a file or folder is really on the disk, as far as it can be waited for there.

    Windows, shares on a network and drives in the cloud refuse that for folders, some of them for files, too.
    """
    refused = () if path.is_file() else (OSError,)
    with suppress(*refused):
        descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
                raise
        finally:
            os.close(descriptor)


@contextmanager
def written_whole(path: Path, part: Path | None = None) -> Iterator[Path]:
    """A place beside `path` to write a file to, which moves there in the end: what stands at `path` is always whole.

    The place is `part`, or a hidden file named like `path`. What must outlast a power cut needs `sync` in the block.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there:
    ...     with written_whole(Path(there, "note.txt")) as part:
    ...         _ = part.write_text("all of it")
    ...     os.listdir(there)
    ['note.txt']
    """
    part = part or path.with_name(f".{path.name.lstrip('.')}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def reason(error: Exception) -> str:
    """Why something failed, in one line."""
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


@contextmanager
def work_folder(folder: Path) -> Iterator[str]:
    """A folder for what is only needed for a while, gone afterwards; `folder` goes, too, where nothing else is in it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, work_folder(Path(folder, "model")) as work:
    ...     Path(work).name
    'work'
    """
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    try:
        yield str(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
        with suppress(OSError):
            (folder / "training").rmdir()
        with suppress(OSError):
            if [path.name for path in folder.iterdir()] == [MARK]:
                (folder / MARK).unlink()
            folder.rmdir()
