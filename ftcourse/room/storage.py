"""Repositories on a disk: contents by their hash, commits and branches as small JSON files, each written whole.

What a client was told of is on the disk, whenever the server is killed; and nothing half-written is ever served.
"""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from uuid import uuid4

from ftcourse.engine.folders import sync, written_whole
from ftcourse.room.names import Refusal, check_path, check_ref, check_repo_id

MAIN = "main"
FULL = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
SPARE_BYTES = 32_000_000  # what stays free for commits when a large file is announced
KEPT_SECONDS = 24 * 3600  # how long content waits for the commit that names it
TEXT_BYTES = 1_000_000  # a smaller text goes inside of the commit; all else is sent by itself before it
BINARY = (".safetensors", ".parquet", ".arrow", ".bin", ".pt", ".onnx", ".h5", ".npz", ".npy", ".zip", ".gz", ".wav")


def now() -> str:
    """The time as clients want it.

    >>> len(now())
    24
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@contextmanager
def disk_full_told() -> Iterator[None]:
    """Turns the error of a full disk into a `Refusal`."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise Refusal("disk_full", 507) from error
        raise


def write_json(path: Path, value: object, part: Path) -> None:
    """Write a JSON file so that it is there whole, even after a power cut, or not at all."""
    with disk_full_told():
        with written_whole(path, part):
            part.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
            sync(part)
        sync(path.parent)


@lru_cache(maxsize=512)
def read_commit(path: Path) -> dict:
    """A commit; it never changes."""
    return json.loads(path.read_text(encoding="utf-8"))


def is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether a file is sent by itself, not inside of a commit; `sample` are its first bytes.

    >>> is_large("README.md", 100, b"# A card"), is_large("model.safetensors", 100, b""), is_large("a", 9, b"PK\\0")
    (False, True, True)
    """
    return size >= TEXT_BYTES or path.lower().endswith(BINARY) or b"\0" in sample


def entry_for(sha256: str, size: int, content: bytes | None = None) -> dict:
    """What a commit says of a file: of a large one, or of a small one with its content.

    The `oid` is what git would call it: the hash of the content, or of the note that stands for a large file.

    >>> entry_for("0" * 64, 0, b"")["oid"]
    'e69de29bb2d1d6434b8b29ae775ad8c2e48c5391'
    """
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n".encode()
    blob = pointer if content is None else content
    oid = hashlib.sha1(b"blob %d\0" % len(blob) + blob, usedforsecurity=False).hexdigest()
    entry = {"sha256": sha256, "size": size, "oid": oid}
    return entry | {"pointer": len(pointer)} if content is None else entry


@dataclass(frozen=True)
class Repo:
    """A repository that is there: its kind, its name and its folder."""

    kind: str
    id: str
    folder: Path

    def state(self) -> dict:
        """Its branches and tags, each with the commit that it stands at, and when it was made."""
        return json.loads((self.folder / "repo.json").read_text(encoding="utf-8"))

    def commit(self, oid: str) -> dict:
        """A commit: its parent, words, author, date, and all files of the repository as they were then."""
        return read_commit(self.folder / "commits" / f"{oid}.json")

    def resolve(self, revision: str) -> str:
        """The commit that a branch, a tag, or the beginning of a commit's own name stands for; or else a `Refusal`."""
        state = self.state()
        for refs in (state["branches"], state["tags"]):
            for name in (revision, revision.removeprefix("refs/heads/").removeprefix("refs/tags/")):
                if name in refs:
                    return refs[name]
        if len(revision) >= 7 and not set(revision) - set("0123456789abcdef"):
            found = [path.stem for path in (self.folder / "commits").glob(f"{revision}*.json")]
            if len(found) == 1:
                return found[0]
        known = ", ".join([*state["branches"], *state["tags"]])
        raise Refusal("no_revision", 404, "RevisionNotFound", given=revision, known=known)

    def history(self, oid: str | None) -> Iterator[tuple[str, dict]]:
        """A commit and those before it, the newest first."""
        while oid:
            commit = self.commit(oid)
            yield oid, commit
            oid = commit["parent"]


class Store:
    """All repositories and contents in a folder, for one server at a time.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(Path(folder))
    ...     repo = store.create("models", "maha/first", "maha")
    ...     oid = store.commit(repo, {"README.md": store.keep_bytes(b"# First")}, author="maha", title="A card")
    ...     sorted(repo.commit(repo.resolve("main"))["files"])
    ['README.md']
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.blobs, self.repos, self.incoming = (folder / name for name in ("blobs", "repos", "incoming"))
        self.locks, self.guard = {}, Lock()
        for place in (self.blobs, self.repos, self.incoming):
            place.mkdir(parents=True, exist_ok=True)

    # Contents

    def part(self) -> Path:
        """A place for a file that is being written."""
        return self.incoming / uuid4().hex

    def blob(self, sha256: str) -> Path:
        """Where content lies, or will lie."""
        return self.blobs / sha256[:2] / sha256

    def has(self, sha256: str, size: int) -> bool:
        """Whether content is there, whole."""
        try:
            return self.blob(sha256).stat().st_size == size
        except FileNotFoundError:
            return False

    def check_space(self, size: int) -> None:
        """A `Refusal` where so many bytes more would fill the disk."""
        if shutil.disk_usage(self.folder).free < size + SPARE_BYTES:
            raise Refusal("disk_full", 507)

    def keep(self, part: Path, sha256: str) -> None:
        """Move a finished file to the contents."""
        target = self.blob(sha256)
        with disk_full_told():
            sync(part)
            target.parent.mkdir(exist_ok=True)
            try:
                os.replace(part, target)
            except PermissionError:  # on Windows, where the same content is being read
                if not target.exists():
                    raise
                part.unlink(missing_ok=True)
            os.utime(target)  # as new, for `sweep`
            sync(target.parent)

    def keep_bytes(self, content: bytes) -> dict:
        """Keep content, and return its entry for a commit."""
        sha256 = hashlib.sha256(content).hexdigest()
        if not self.has(sha256, len(content)):
            part = self.part()
            try:
                with disk_full_told():
                    part.write_bytes(content)
                self.keep(part, sha256)
            finally:
                part.unlink(missing_ok=True)
        return entry_for(sha256, len(content), content)

    def keep_file(self, source: Path) -> dict:
        """Keep the content of a file, which stays as it is, and return its entry for a commit."""
        size = source.stat().st_size
        with open(source, "rb") as file:
            if not is_large(source.name, size, file.read(512)):
                return self.keep_bytes(source.read_bytes())
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if not self.has(sha256, size):
            part = self.part()
            try:
                with disk_full_told():
                    shutil.copyfile(source, part)
                self.keep(part, sha256)
            finally:
                part.unlink(missing_ok=True)
        return entry_for(sha256, size)

    def sweep(self) -> None:
        """Remove what a killed server left: half-written files, and contents that for a day no commit has named."""
        for path in self.incoming.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        named = set()
        for path in self.repos.glob("*/*/*/commits/*.json"):
            with suppress(ValueError):
                files = json.loads(path.read_text(encoding="utf-8"))["files"]
                named |= {entry["sha256"] for entry in files.values()}
        for path in self.blobs.glob("*/*"):
            if path.name not in named and time.time() - path.stat().st_mtime > KEPT_SECONDS:
                path.unlink()

    # Repositories

    def place(self, kind: str, repo_id: str) -> Path:
        """Where a repository lies, or would lie."""
        return self.repos / kind / check_repo_id(repo_id)

    @contextmanager
    def locked(self, kind: str, repo_id: str) -> Iterator[None]:
        """One change at a time to a repository."""
        with self.guard:
            lock = self.locks.setdefault((kind, repo_id.lower()), Lock())
        with lock:
            yield

    def find(self, kind: str, repo_id: str) -> Repo | None:
        """The repository, where there is one."""
        folder = self.place(kind, repo_id)
        return Repo(kind, repo_id, folder) if (folder / "repo.json").is_file() else None

    def create(self, kind: str, repo_id: str, author: str, **marks) -> Repo:
        """A new repository with an empty commit on its main branch; a `Refusal` where there is one, in whatever case.

        `marks` are kept with its branches and tags.
        """
        folder = self.place(kind, repo_id)
        owner, name = repo_id.split("/")
        with self.locked(kind, repo_id):
            for taken in (self.repos / kind).glob("*/*/repo.json"):
                if (taken.parts[-3].lower(), taken.parts[-2].lower()) == (owner.lower(), name.lower()):
                    raise Refusal("repo_exists", 409, given=repo_id)
            with disk_full_told():
                (folder / "commits").mkdir(parents=True, exist_ok=True)
            oid = self.write_commit(folder, None, {}, author, "initial commit", "")
            state = {"created": now(), "branches": {MAIN: oid}, "tags": {}} | marks
            write_json(folder / "repo.json", state, self.part())
            for parent in (folder.parent, folder.parent.parent):
                sync(parent)
        return Repo(kind, repo_id, folder)

    def delete(self, repo: Repo) -> None:
        """Remove a repository; at once it is not served any more."""
        with self.locked(repo.kind, repo.id):
            trash = self.part()
            os.replace(repo.folder, trash)
            sync(repo.folder.parent)
        shutil.rmtree(trash, ignore_errors=True)

    def list(self, kind: str) -> list[Repo]:
        """All repositories of a kind, by name."""
        found = sorted((self.repos / kind).glob("*/*/repo.json"))
        return [Repo(kind, f"{path.parts[-3]}/{path.parts[-2]}", path.parent) for path in found]

    def write_commit(
        self, folder: Path, parent: str | None, files: dict, author: str, title: str, description: str
    ) -> str:
        """Write a commit to a repository's folder, and return its name."""
        commit = {"parent": parent, "title": title, "description": description, "author": author, "date": now()}
        text = json.dumps(commit | {"files": files, "salt": uuid4().hex}, sort_keys=True)
        oid = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        write_json(folder / "commits" / f"{oid}.json", commit | {"files": files}, self.part())
        return oid

    def commit(
        self,
        repo: Repo,
        added: Mapping[str, dict] | None = None,
        deleted: Iterable[str] = (),
        *,
        author: str,
        title: str,
        description: str = "",
        branch: str = MAIN,
        parent: str | None = None,
        whole: bool = False,
        **marks,
    ) -> str:
        """Put a new commit on a branch, and return its name. What ends in a slash deletes a folder.

        With `whole`, the added files are all that the repository holds. A `Refusal` where the branch is not at the
        commit `parent`, where a deleted file or an added content is not there, or where the disk is full.
        """
        added = added or {}
        for path, entry in added.items():
            check_path(path)
            if not self.has(entry["sha256"], entry["size"]):
                raise Refusal("no_content", 422, given=path)
        with self.locked(repo.kind, repo.id):
            state = self.state_of(repo)
            if branch not in state["branches"]:
                raise Refusal(
                    "no_branch", 404, "RevisionNotFound", given=branch, known=", ".join(sorted(state["branches"]))
                )
            head = state["branches"][branch]
            if parent is not None and not head.startswith(parent):
                raise Refusal("parent", 412, given=parent, head=head)
            files = {} if whole else dict(repo.commit(head)["files"])
            for path in deleted:
                gone = [name for name in files if name == path or (path.endswith("/") and name.startswith(path))]
                if not gone:
                    raise Refusal("no_file", 404, "EntryNotFound", path=path)
                for name in gone:
                    del files[name]
            self.check_tree(files, added)
            oid = self.write_commit(repo.folder, head, files | added, author, title, description)
            state["branches"][branch] = oid
            write_json(repo.folder / "repo.json", state | marks, self.part())
        return oid

    def state_of(self, repo: Repo) -> dict:
        """A repository's branches and tags, while it is locked; a `Refusal` where it has just been deleted."""
        try:
            return repo.state()
        except FileNotFoundError:
            raise Refusal("no_repo", 404, "RepoNotFound", given=repo.id) from None

    @staticmethod
    def check_tree(files: Mapping[str, dict], added: Mapping[str, dict]) -> None:
        """A `Refusal` where a path would be a file and a folder at once."""
        names = {*files, *added}
        folders = {path[:place] for path in names for place, letter in enumerate(path) if letter == "/"}
        if both := sorted(names & folders):
            raise Refusal("file_and_folder", given=both[0])

    def set_ref(self, repo: Repo, kind: str, name: str, revision: str) -> None:
        """A new branch or tag (`kind` is "branches" or "tags"); a `Refusal` where there is one of that name."""
        check_ref(name)
        with self.locked(repo.kind, repo.id):
            state = self.state_of(repo)
            if name in state[kind]:
                raise Refusal("ref_exists", 409, given=name)
            state[kind][name] = repo.resolve(revision)
            write_json(repo.folder / "repo.json", state, self.part())

    def drop_ref(self, repo: Repo, kind: str, name: str) -> None:
        """Remove a branch or a tag; a `Refusal` for the main branch, and where there is none of that name."""
        with self.locked(repo.kind, repo.id):
            state = self.state_of(repo)
            if kind == "branches" and name == MAIN:
                raise Refusal("main_stays", 403)
            if name not in state[kind]:
                known = ", ".join(sorted(state[kind]))
                raise Refusal("no_revision", 404, "RevisionNotFound", given=name, known=known)
            del state[kind][name]
            write_json(repo.folder / "repo.json", state, self.part())
