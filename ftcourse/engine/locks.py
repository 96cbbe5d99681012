"""One process at a time: who writes to a place holds a lock, which the system drops when the process ends, however it
ends. A note beside it says who that is."""

import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from ftcourse.engine.launch import process_number
from ftcourse.engine.messages import trouble

LOCK = ".ftcourse.lock"  # in a folder that a process writes to
NOTE = ".json"  # what the note's name has after that of the lock
GRACE_SECONDS = 10  # for what a killed process has started, which may hold its lock a little longer
NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


def note_of(lock: Path) -> Path:
    """Where the note about a lock lies.

    >>> note_of(Path("model", LOCK)).name
    '.ftcourse.lock.json'
    """
    return lock.with_name(lock.name + NOTE)


def this_process() -> dict:
    """What a note says about this process: its number, its computer, and since when it runs and holds the lock.

    >>> this_process()["pid"] == os.getpid()
    True
    """
    now = datetime.now().isoformat(sep=" ", timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now, "began": psutil.Process().create_time()}


def holder_of(lock: Path) -> dict | None:
    """Who holds a lock, as the note says; None without one, and for one that says nothing.

    >>> holder_of(Path("nowhere", LOCK))
    """
    with suppress(OSError, ValueError):
        holder = json.loads(note_of(lock).read_text(encoding="utf-8"))
        if isinstance(holder, dict) and {"pid", "host", "since", "began"} <= {*holder}:
            return holder
    return None


def gone(holder: dict) -> bool:
    """Whether a holder is a process of this computer that has ended; its number may be that of another one now.

    >>> gone(this_process()), gone(this_process() | {"began": 0}), gone(this_process() | {"host": "elsewhere"})
    (False, True, False)
    """
    if holder["host"] != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(holder["pid"]).create_time() - holder["began"]) > 2
    except psutil.Error:
        return True


def busy(place: Path, holder: dict | None) -> Exception:
    """The error for a place that another process writes to.

    >>> print(busy(Path("model"), {"pid": 12, "host": "desk", "since": "2024-05-01 09:30:00"}))
    another process is writing to 'model': number 12 on desk, since 2024-05-01 09:30:00; wait ...
    """
    if holder is None:
        return trouble("busy_unknown", BlockingIOError, place=str(place))
    return trouble("busy", BlockingIOError, place=str(place), **{key: holder[key] for key in ("pid", "host", "since")})


def take(lock: FileLock, place: Path) -> None:
    """Take a lock at once, or as soon as what a killed process has left behind drops it.

    Where files cannot be locked, as on some drives in the cloud, the note decides: a process of this computer that
    still runs is heeded. `BlockingIOError` says who is at work.
    """
    path, until = Path(lock.lock_file), time.monotonic() + GRACE_SECONDS
    while True:
        try:
            lock.acquire(timeout=0)
            return
        except Timeout:
            holder = holder_of(path)
            if time.monotonic() > until or (holder and not gone(holder)):
                raise busy(place, holder) from None
            time.sleep(0.1)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            holder = holder_of(path)
            if holder and holder["host"] == socket.gethostname() and not gone(holder):
                raise busy(place, holder) from None
            return


@contextmanager
def held(place: Path, lock: Path) -> Iterator[None]:
    """While it lasts, no other process holds `lock`, a file that stands for `place`; `BlockingIOError` if one does.

    The processes of one `accelerate launch` hold it together: the first of them takes it.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, held(Path(folder), Path(folder, LOCK)):
    ...     sorted(os.listdir(folder))
    ['.ftcourse.lock', '.ftcourse.lock.json']
    """
    if process_number():
        yield
        return
    own, note = FileLock(lock, fallback_to_soft=False), note_of(lock)
    take(own, place)
    try:
        with suppress(OSError):  # of a full disk, which those who write more will tell
            note.write_text(json.dumps(this_process()), encoding="utf-8")
        yield
    finally:
        for path in (note, lock):  # the lock's file goes while it is held: who waits for it begins anew
            with suppress(OSError):
                path.unlink()
        own.release()
