"""Folders that are claimed, filled whole or not at all, and gone on with."""

import atexit
import errno
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ftcourse.engine.launch import MARK, check_alike, process_number, together, wait_for_all
from ftcourse.engine.locks import LOCK, held, note_of
from ftcourse.engine.messages import in_words, trouble

PART = ".part"  # a folder in it, for what is not whole yet
CONTENT = " content"  # how the name of a setting ends that says what is in the table of the setting before
LOCKS = (LOCK, note_of(Path(LOCK)).name)


@contextmanager
def only_one(folder: str | os.PathLike) -> Iterator[Path]:
    """The folder, made where it was missing; while it lasts, no other process writes there.

    Raises `BlockingIOError` where one does, `OSError` where it cannot be made or written to.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there, only_one(f"{there}/model") as folder, only_one(folder):
    ...     pass
    Traceback (most recent call last):
    BlockingIOError: another process is writing to '...model': number ... on ..., since ...; wait until it ends, or ...
    """
    if not isinstance(folder, str | os.PathLike):
        raise trouble("output_type", given=folder)
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except ValueError:  # a path with a character that no path may have
        raise trouble("output_type", given=str(folder)) from None
    except OSError as error:
        raise trouble("not_writable", OSError, folder=str(folder), reason=reason(error)) from error
    with locked(folder, folder / LOCK, folder):
        yield folder


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
        taken = any(not path.name.startswith(".trial-") and path.name not in LOCKS for path in folder.iterdir())
        trial = folder / f".trial-{os.getpid()}"
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise trouble("not_writable", OSError, folder=str(folder), reason=reason(error)) from error
    if taken and not resume:
        raise trouble("begun" if any(folder.glob(begun)) else "taken", FileExistsError, folder=str(folder))
    return folder


@contextmanager
def only_file(path: str | os.PathLike) -> Iterator[None]:
    """While it lasts, no other process writes the file `path`, or what is to become that file.

    Raises `BlockingIOError` where one does, `OSError` where its folder cannot be written to.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there, only_file(f"{there}/answers.csv"):
    ...     sorted(os.listdir(there))
    ['.answers.csv.lock', '.answers.csv.lock.json']
    """
    path = Path(path)
    with locked(path, path.with_name(f".{path.name}.lock"), path.parent):
        yield


@contextmanager
def locked(place: Path, lock: Path, folder: Path) -> Iterator[None]:
    """`held`, with one line about a folder that cannot be written to."""
    with ExitStack() as stack:
        try:
            stack.enter_context(held(place, lock))
        except BlockingIOError:
            raise
        except OSError as error:
            raise trouble("not_writable", OSError, folder=str(folder), reason=reason(error)) from error
        yield


def check_begun(folder: Path, begun: Mapping, now: Mapping, names: Iterable[str], key: str = "other_work") -> None:
    """Make sure that work goes on as it was begun; a `ValueError` tells the first of the names that has another value.

    >>> check_begun(Path("model"), {"lr": 5e-4}, {"lr": 1e-4}, ["lr"])
    Traceback (most recent call last):
    ValueError: the work in 'model' was begun with lr=0.0005, not 0.0001; call it as then, or choose another folder
    """
    for name in names:
        if begun.get(name) != now.get(name):
            raise trouble(key, folder=str(folder), name=name, was=begun.get(name), given=now.get(name))


def check_call(folder: Path, begun: Mapping, now: Mapping) -> None:
    """Make sure that a call goes on with what the same call began: the same settings, and the same in the table.

    What a version before did not note is taken for what is usual, `now["usual"]`, and what was in the table is then
    not known: a warning says so. A `ValueError` tells what is different.

    >>> now = {"table": "a.csv", "table content": "2", "usual": {}}
    >>> check_call(Path("model"), {"table": "a.csv", "table content": "1"}, now)
    Traceback (most recent call last):
    ValueError: the work in 'model' was begun with another table: what is in 'a.csv' has changed since then, and ...
    """
    begun, settings = now["usual"] | begun, [name for name in now if not name.endswith(CONTENT) and name != "usual"]
    check_begun(folder, begun, now, settings)
    for name in [name for name in now if name.endswith(CONTENT)]:
        given = now[name.removesuffix(CONTENT)]
        given = given["table"] if isinstance(given, dict) else given  # of a table to validate with
        if name not in begun and now[name]:
            warnings.warn(in_words("unknown_table", folder=str(folder), given=given), stacklevel=2)
        elif begun.get(name) != now[name]:
            raise trouble("other_table", folder=str(folder), given=given)


@contextmanager
def claim_run(folder: str | os.PathLike, resume: bool, call: Mapping) -> Iterator[Path]:
    """The folder for a call, which is noted in it; with `resume`, a folder that the same call has begun to fill.

    While it lasts, no other process writes there, but for those of the same `accelerate launch`, whose first one
    claims it for all. A folder in which nothing was begun is gone afterwards. Raises `FileExistsError` for any other
    folder that is not empty, `ValueError` where another call was noted, `BlockingIOError` where a process is at work.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as there:
    ...     with claim_run(f"{there}/model", False, {"lr": 5e-4}) as folder:
    ...         _ = Path(folder, "model.safetensors").write_text("weights")
    ...     with claim_run(f"{there}/model", True, {"lr": 1e-4}) as folder:
    ...         pass
    Traceback (most recent call last):
    ValueError: the work in '...model' was begun with lr=0.0005, not 0.0001; ...
    """
    mark, call = Path(folder) / MARK, json.loads(json.dumps(call))
    with together():
        wait_for_all()
        if process_number():  # the first process claims it for all
            check_alike(Path(folder), call)
            yield Path(folder)
            return
        try:
            with only_one(folder) as folder:
                for left in folder.glob(".trial-*"):  # by a process that was killed
                    left.unlink(missing_ok=True)
                for left in folder.glob("work[1-9]*"):
                    shutil.rmtree(left, ignore_errors=True)
                if resume and mark.is_file():
                    check_call(folder, noted(mark), {"usual": {}} | call)
                    shutil.rmtree(claim_folder(folder, resume=True) / PART, ignore_errors=True)
                else:
                    claim_folder(folder, begun=MARK)
                    note_call(mark, call)
                check_alike(folder, call)
                yield folder
        finally:
            with suppress(OSError, ValueError):
                Path(folder).rmdir()


def noted(mark: Path) -> dict:
    """The call that a mark notes; what cannot be read notes nothing.

    >>> noted(Path("nowhere", MARK))
    {}
    """
    with suppress(OSError, ValueError):
        found = json.loads(mark.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def note_call(mark: Path, call: Mapping) -> None:
    """Note a call in its folder, whole or not at all; an `OSError` in one line says why not."""
    try:
        with written_whole(mark, mark.with_name(f".trial-{os.getpid()}")) as part:  # a name that makes no folder taken
            part.write_text(json.dumps({name: call[name] for name in call if name != "usual"}), encoding="utf-8")
    except OSError as error:
        raise trouble("not_writable", OSError, folder=str(mark.parent), reason=reason(error)) from error


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


def name_of(path: str | os.PathLike) -> str:
    """The name of a file or folder, with a mark in place of bytes that are no letters: it can be written down.

    >>> name_of("data/a.csv"), name_of(os.fsdecode(b"data/\\xc6.csv"))
    ('a.csv', '\ufffd.csv')
    """
    return os.fsencode(Path(path).name).decode("utf-8", "replace")


FULL = (errno.ENOSPC, errno.EDQUOT)
OS_ERROR = re.compile(r"\(os error (\d+)\)")  # as libraries written in Rust say it
REASONS = dict.fromkeys(FULL, "reason_full") | {
    errno.EACCES: "reason_permission",
    errno.EPERM: "reason_permission",
    errno.EROFS: "reason_read_only",
    errno.ENOENT: "reason_missing",
    errno.ENOTDIR: "reason_no_folder",
    errno.ENAMETOOLONG: "reason_long",
    errno.EFBIG: "reason_large",
}


def reason(error: BaseException) -> str:
    """Why something failed, in one line; in the reader's language where it is one of the usual reasons.

    >>> reason(OSError(errno.ENOSPC, "No space left on device")), reason(ValueError("a  b"))
    ('No space left on device', 'a b')
    """
    told = OS_ERROR.search(str(error))
    number = int(told[1]) if told else getattr(error, "errno", None)
    if number in REASONS:
        return in_words(REASONS[number])
    return " ".join((getattr(error, "strerror", None) or str(error)).split())


def is_full(error: BaseException | None) -> bool:
    """Whether something failed because a disk is full, or comes of an error that did.

    >>> is_full(OSError(errno.ENOSPC, "No space left on device")), is_full(OSError("other"))
    (True, False)
    """
    return error is not None and (getattr(error, "errno", None) in FULL or is_full(error.__cause__))


def remove(folder: Path) -> None:
    """Takes a folder away; what cannot go yet, at the end of the program: Windows keeps files that are still read.

    >>> remove(Path("nowhere"))
    """
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


@contextmanager
def work_folder(folder: Path) -> Iterator[str]:
    """A folder for what is only needed for a while, gone afterwards; `folder` goes, too, where nothing else is in it.

    An `OSError` in one line tells where there is no room for it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, work_folder(Path(folder, "model")) as work:
    ...     Path(work).name
    'work'
    """
    work = folder / f"work{process_number() or ''}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        yield str(work)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise trouble("no_room", OSError, folder=str(folder), reason=reason(error)) from error
    finally:
        remove(work)
        if not process_number():
            with suppress(OSError):
                (folder / "training").rmdir()
            with suppress(OSError):
                if {path.name for path in folder.iterdir()} <= {MARK, *LOCKS}:
                    (folder / MARK).unlink(missing_ok=True)
                folder.rmdir()
