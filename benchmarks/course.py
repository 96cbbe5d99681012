"""Seconds a chapter, run headless as `make learn` does, without keeping what it shows."""

import subprocess
import sys
import time

from benchmarks.measure import report
from tools.settings import ROOT, chapters


def main() -> None:
    rows = []
    for chapter in chapters():
        started = time.perf_counter()
        command = [sys.executable, "-m", "tools.learn", "--chapter", chapter]
        subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        rows.append({"name": chapter, "seconds": time.perf_counter() - started})
    rows.append({"name": "total", "seconds": sum(row["seconds"] for row in rows)})
    report("course", {"one run": rows})
