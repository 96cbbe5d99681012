"""Runs a learner's server within limits: of memory, processes, processor time and files, for each program by the
kernel's own limits, and of memory for all of them together. Where the kernel allows it, the learner sees nothing of the
others: no process, no home, and of the disk all but the own home is read-only. Linux."""

import argparse
import ctypes
import os
import re
import resource
import shutil
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from classroom.copies import furnish
from ftcourse.grading.sandbox import (
    DIE_WITH_PARENT,
    MOUNT_SETATTR,
    NEW_FILES,
    NEW_IPC,
    NEW_PIDS,
    NEW_USER,
    PRIVATE,
    READ_ONLY,
    RECURSIVE,
    hide_memory,
    libc,
)

BIND, TEMPORARY = 1 << 12, ".temporary"
SERVICES = [Path("/run", name) for name in ("user", "docker.sock", "podman", "containerd")]  # that do as they are told
# Bytes that PyTorch and its libraries map and do not use: as writable memory, and as address space.
WRITABLE, MAPPED = 2_000_000_000, 8_000_000_000
PARENT = re.compile(r"^PPid:\s+(\d+)$", re.M)
EVERY = 2  # seconds between two looks at the memory
OWN = re.compile(r"^(?:RssAnon|RssShmem):\s+(\d+) kB$", re.M)  # what is a process's own: not the code of libraries


def arguments() -> argparse.Namespace:
    """What the spawner asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--hide", type=Path, required=True, help="the class's folder, of which only the home is shown")
    parser.add_argument("--uid", type=int, default=0, help="whom to run as; 0: as who calls")
    parser.add_argument("--memory", type=float, required=True, help="GB, all programs together")
    parser.add_argument("--processes", type=int, required=True)
    parser.add_argument("--seconds", type=int, required=True, help="processor time of each program")
    parser.add_argument("--chapters", type=Path, help="a folder of chapters, to be copied to the home")
    parser.add_argument("command", nargs="+")
    return parser.parse_args()


def become(uid: int, home: Path) -> None:
    """Makes the home, and becomes its owner."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if uid:
        os.chown(home, uid, uid)
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        hide_memory(False)  # or else it could not say whom it stands for
    os.umask(0o077)
    place = home / TEMPORARY
    if place.is_symlink() or (place.exists() and not place.is_dir()):  # what it leads to would become writable
        place.unlink()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(place)


def limit(given: argparse.Namespace) -> None:
    """The kernel's limits of each program."""
    wanted = {
        resource.RLIMIT_DATA: int(given.memory * 1e9) + WRITABLE,
        resource.RLIMIT_AS: int(given.memory * 1e9) + MAPPED,
        resource.RLIMIT_NPROC: given.processes,
        resource.RLIMIT_CPU: given.seconds,
        resource.RLIMIT_NOFILE: 4096,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        with suppress(ValueError, OSError):  # it is lower already
            resource.setrlimit(kind, (value, value))


def shut(home: Path, hidden: Path) -> bool:
    """Own lists of processes and files; whether the kernel allowed it."""
    library, uid, gid = libc(), os.getuid(), os.getgid()
    if library.unshare(NEW_USER | NEW_PIDS | NEW_FILES | NEW_IPC):
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    except OSError as error:
        say_open(error)
        return True

    def check(failed: int, where: Path) -> None:
        if failed:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(where))

    def mount(what: bytes | None, where: Path, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
        check(library.mount(what, os.fsencode(where), kind, flags, data), where)

    def read_only(where: Path, on: bool) -> None:
        attributes = struct.pack("QQQQ", READ_ONLY if on else 0, 0 if on else READ_ONLY, 0, 0)
        check(library.syscall(MOUNT_SETATTR, -100, os.fsencode(where), 0x8000, attributes, 32), where)

    try:
        kept = os.open(home, os.O_PATH | os.O_DIRECTORY)
        temporary = os.open(home / TEMPORARY, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
        mount(None, Path("/"), None, PRIVATE | RECURSIVE)
        mount(b"tmpfs", hidden, b"tmpfs", 0, b"size=1m,mode=755")
        home.mkdir(parents=True)
        mount(b"/proc/self/fd/%d" % kept, home, None, BIND)
        own = [home]
        if not home.is_relative_to("/tmp"):
            mount(b"/proc/self/fd/%d" % temporary, Path("/tmp"), None, BIND)
            own.append(Path("/tmp"))
        mount(b"tmpfs", Path("/dev/shm"), b"tmpfs", 0, b"size=256m,mode=1777")
        read_only(Path("/"), True)
        for path in (*own, Path("/dev/shm")):
            read_only(path, False)
        for path in filter(Path.exists, SERVICES):  # whoever answers there is outside of the fence
            if path.is_dir():
                mount(b"tmpfs", path, b"tmpfs", 0, b"size=1m,mode=755")
            else:
                mount(os.fsencode(os.devnull), path, None, BIND)
        os.close(kept)
        os.close(temporary)
    except OSError as error:
        say_open(error)
    return True


def say_open(error: OSError) -> None:
    """Tells the log that the fence has a gap."""
    print(f"The fence is not whole, the learner may see or write what is not theirs: {error}", file=sys.stderr)


def tree(top: int, proc: int) -> dict[int, int]:
    """The bytes in memory of a process and all its descendants, by number; `proc` is the opened folder /proc."""

    def read(name: str) -> str:
        with open(name, opener=lambda path, flags: os.open(path, flags, dir_fd=proc)) as file:
            return file.read()

    children, sizes = {}, {}
    for name in filter(str.isdigit, os.listdir(proc)):
        with suppress(OSError, ValueError):
            status = read(f"{name}/status")
            parent = int(PARENT.search(status)[1])
            children.setdefault(parent, []).append(int(name))
            sizes[int(name)] = 1024 * sum(map(int, OWN.findall(status)))
    found, waiting = {}, [top]
    while waiting:
        one = waiting.pop()
        found[one] = sizes.get(one, 0)
        waiting += children.get(one, [])
    return found


def keep(inside: int, memory: float, proc: int) -> int:
    """Waits for the server; ends the largest program where all together take too much memory. Passes signals on."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(inside, number))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    while True:
        pid, status = os.waitpid(inside, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        sizes = tree(inside, proc)
        if sum(sizes.values()) > memory * 1e9:
            largest = max(sizes, key=sizes.get)
            with suppress(ProcessLookupError, PermissionError):
                os.kill(largest, signal.SIGKILL)
        signal.sigtimedwait({signal.SIGCHLD}, EVERY)


def first(command: list[str]) -> int:
    """Inside: starts the server, and looks after processes that lost their parents."""
    server = os.fork()
    if not server:
        with suppress(PermissionError):  # it is slower already
            os.setpriority(os.PRIO_PROCESS, 0, 5)
        os.execvp(command[0], command)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(server, number))
    while True:
        try:
            pid, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return 1
        if pid == server:
            return os.waitstatus_to_exitcode(status)


def main() -> None:
    """Builds the fence, and runs the command in it."""
    given = arguments()
    become(given.uid, given.home)
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)  # the one inside gets another
    fenced = shut(given.home, given.hide)
    inside = os.fork()
    if inside:
        code = keep(inside, given.memory, proc)
        sys.exit(code if code >= 0 else 128 - code)
    os.close(proc)
    libc().prctl(DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if fenced:
        libc().mount(b"proc", b"/proc", b"proc", 0, None)
    os.chdir(given.home)
    limit(given)
    if given.chapters:
        try:
            furnish(given.home, given.chapters)
        except OSError as error:  # a full disk, or what the learner put in the way: the server starts all the same
            print(f"The chapters could not be copied: {error}", file=sys.stderr)
    code = first(given.command)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
