"""Fresh copies of the chapters in a learner's home. It runs as the learner, within the fence: a link in the home leads
nowhere that the learner could not write anyhow."""

import hashlib
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

from ftcourse.engine.folders import written_whole

NOTE, SHELF = ".ftcourse-copies.json", "all-chapters"


def digest(path: Path) -> str:
    """What is in a file, in short."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def copy_chapters(source: Path, target: Path) -> list[str]:
    """Copies chapters to a learner's folder; the names of those that were copied. A changed copy is never overwritten.

    A copy that nobody changed follows the course where that is newer.
    """
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    note, known, copied = target / NOTE, {}, []
    with suppress(OSError, ValueError):
        known = dict(json.loads(note.read_text(encoding="utf-8")))
    for path in sorted([*source.glob("*.ipynb"), *source.glob("*.md")]):
        copy, now = target / path.name, digest(path)
        if os.path.lexists(copy) and (copy.is_symlink() or not copy.is_file() or digest(copy) != known.get(path.name)):
            continue  # it is the learner's
        if not os.path.lexists(copy) and path.name in known:
            continue  # the learner has thrown it away
        if known.get(path.name) != now:
            shutil.copyfile(path, copy)
            known[path.name] = now
            copied.append(path.name)
    if copied:
        with written_whole(note) as part:
            part.write_text(json.dumps(known), encoding="utf-8")
    return copied


def furnish(home: Path, chapters: Path) -> None:
    """Puts the chapters of a language into a home, and a link to those of all."""
    copy_chapters(chapters, home / f"course-{chapters.name}")
    if not os.path.lexists(home / SHELF):
        (home / SHELF).symlink_to(chapters.parent)
