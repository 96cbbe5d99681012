"""Processes for code that nobody has read: without network, with the disk read-only but for a scratch folder that is
thrown away, alone in its list of processes, and with limits of memory. Linux; what the system denies is named."""

import ctypes
import errno
import os
import resource
import signal
import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NEW_FILES, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NET = 0x20000, 0x08000000, 0x10000000, 0x20000000, 0x40000000
PRIVATE, RECURSIVE, READ_ONLY, MOUNT_SETATTR = 1 << 18, 1 << 14, 1, 442
DUMPABLE, DIE_WITH_PARENT, NO_NEW_RIGHTS, FILTER_CALLS = 4, 1, 38, 22
DISK, PROCESSES, FILES = 512_000_000, 256, 1024  # what an answer may write and start


@dataclass(frozen=True)
class Fenced:
    """A process in a sandbox: its number, that of the process which waits for it, and what fences it in."""

    pid: int
    keeper: int
    fences: tuple[str, ...]

    def kill(self) -> None:
        """Ends the process and all that it started."""
        for pid in (self.pid, self.keeper):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.keeper, 0)


def libc():
    """The C library, whose calls Python does not have."""
    return ctypes.CDLL(None, use_errno=True)


def hide_memory(hidden: bool = True) -> None:
    """Keeps other processes of the same user from reading or writing this one's memory."""
    libc().prctl(DUMPABLE, int(not hidden), 0, 0, 0)


def fence(scratch: Path) -> tuple[str, ...]:
    """Puts the children of this process into a sandbox; the names of the fences that could be had."""
    library, uid, gid = libc(), os.getuid(), os.getgid()
    if library.unshare(NEW_USER | NEW_PIDS | NEW_NET | NEW_FILES | NEW_IPC):
        return ()
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError:
        return ("network", "processes")
    return ("network", "processes", "files") if shut_disk(library, scratch) else ("network", "processes")


def shut_disk(library, scratch: Path) -> bool:
    """The disk read-only; what is written to the scratch folder goes to memory, and is gone with the process."""
    drawer, size = f"{scratch}.drawer".encode(), f"size={DISK}".encode()
    layers = b"lowerdir=%s,upperdir=%s/new,workdir=%s/work" % (os.fsencode(scratch), drawer, drawer)
    if library.mount(None, b"/", None, PRIVATE | RECURSIVE, None) or library.mount(b"tmpfs", drawer, b"tmpfs", 0, size):
        return False
    os.mkdir(drawer + b"/new")
    os.mkdir(drawer + b"/work")
    if library.mount(b"overlay", os.fsencode(scratch), b"overlay", 0, layers):
        return False
    library.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, size)
    if library.syscall(MOUNT_SETATTR, -100, b"/", 0x8000, struct.pack("QQQQ", READ_ONLY, 0, 0, 0), 32):
        return False
    for folder in (os.fsencode(scratch), b"/dev/shm"):
        library.syscall(MOUNT_SETATTR, -100, folder, 0, struct.pack("QQQQ", 0, READ_ONLY, 0, 0), 32)
    return True


def no_neighbours() -> bool:
    """Keeps this process, and those that it starts, from opening sockets that are files: at the other end of those are
    programs outside of the sandbox, which would do what they are told. Whether the kernel allowed it."""
    library = libc()
    library.prctl(NO_NEW_RIGHTS, 1, 0, 0, 0)
    kinds = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
    if os.uname().machine not in kinds:
        return False
    (kind, socket), io_uring = kinds[os.uname().machine], 425
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    steps = [
        (load, 0, 0, 4),  # the kind of processor
        (equal, 0, 6, kind),
        (load, 0, 0, 0),  # the number of the call
        (at_least, 4, 0, 1 << 30),  # calls of another kind of program
        (equal, 3, 0, io_uring),
        (equal, 0, 3, socket),
        (load, 0, 0, 16),  # its first argument
        (equal, 0, 1, 1),  # AF_UNIX
        (answer, 0, 0, 0x50000 | errno.EPERM),
        (answer, 0, 0, 0x7FFF0000),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("H6xQ", len(steps), ctypes.addressof(code)))
    return library.prctl(FILTER_CALLS, 2, program, 0, 0) == 0


def limit(memory: int, seconds: int) -> None:
    """Limits of this process: so many bytes more than it has, so many seconds of processor time."""
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    wanted = {
        resource.RLIMIT_AS: now + memory,
        resource.RLIMIT_CPU: seconds + int(sum(os.times()[:2])) + 1,
        resource.RLIMIT_FSIZE: DISK,
        resource.RLIMIT_NOFILE: FILES,
        resource.RLIMIT_NPROC: PROCESSES,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        with suppress(ValueError, OSError):  # lower already
            resource.setrlimit(kind, (value, value))


def leave_all_but(kept: Iterable[int]) -> None:
    """Closes every file but these; input and output lead nowhere."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    opened = {int(name) for name in os.listdir("/proc/self/fd")}
    for number in opened - {0, 1, 2} - {*kept}:
        with suppress(OSError):
            os.close(number)


def spawn(run: Callable[[], None], kept: Iterable[int], scratch: Path, memory: int, seconds: int) -> Fenced:
    """A copy of this process in a sandbox, which calls `run`, holds the files `kept`, and ends.

    `memory` is in bytes that it may take beyond what this process has; `seconds` are of processor time.
    """
    Path(f"{scratch}.drawer").mkdir(exist_ok=True)
    told, tell = os.pipe()
    keeper = os.fork()
    if not keeper:
        try:
            keep(run, {*kept}, scratch, memory, seconds, tell)
        finally:
            os._exit(1)
    os.close(tell)
    with os.fdopen(told, "rb") as pipe:
        line = pipe.read().decode().split()
    return Fenced(int(line[0]) if line else keeper, keeper, tuple(line[1:]))


def keep(run: Callable[[], None], kept: set[int], scratch: Path, memory: int, seconds: int, tell: int) -> None:
    """What the process between does: it builds the fences, starts the one inside, and waits for it."""
    hide_memory(False)  # or else it could not say whom it stands for
    leave_all_but(kept | {tell})
    fences = fence(scratch)
    if not no_neighbours():
        fences = tuple(name for name in fences if name != "network")
    inside = os.fork()
    if inside:
        os.write(tell, " ".join([str(inside), *fences]).encode())
        os.closerange(3, FILES)  # not by a look at /proc, which the one inside may have replaced by then
        os.waitpid(inside, 0)
        os._exit(0)
    os.close(tell)
    os.setsid()
    libc().prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if "processes" in fences:
        libc().mount(b"proc", b"/proc", b"proc", 0, None)
    limit(memory, seconds)
    try:
        run()
    finally:
        os._exit(0)
