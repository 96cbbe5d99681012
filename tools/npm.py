"""Packages from the npm registry, in the versions that a package-lock.json names."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path


def packages(source: Path, otherwise: str) -> Path:
    """The packages of a folder, installed there as its package-lock.json says; no script of theirs is run.

    Where npm is missing, that ends the program: `otherwise` is what can be done without it.
    """
    modules = source / "node_modules"
    lock = (source / "package-lock.json").read_bytes()
    stamp = modules / ".lock.sha256"
    if not stamp.exists() or stamp.read_text() != hashlib.sha256(lock).hexdigest():
        npm = shutil.which("npm")
        if not npm:
            sys.exit(f"npm is missing: install Node.js 20 or newer (nodejs.org), or {otherwise}")
        subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], cwd=source, check=True)
        stamp.write_text(hashlib.sha256(lock).hexdigest())
    return modules
