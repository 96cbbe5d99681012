"""What an import costs in a fresh interpreter, beside the libraries that it brings."""

import subprocess
import sys

from benchmarks.measure import compare, report, take_turns

STATEMENTS = {
    "import ftcourse": "import ftcourse",
    "from ftcourse.loop import train": "from ftcourse.loop import train",
    "from transformers import Trainer": "from transformers import Trainer",
    "import torch": "import torch",
    "nothing": "pass",
}


def main() -> None:
    contestants = {
        name: lambda seed, code=code: lambda: subprocess.run([sys.executable, "-c", code], check=True) and None
        for name, code in STATEMENTS.items()
    }
    report("import", {"fresh interpreter": compare(take_turns(contestants), "from ftcourse.loop import train")})
