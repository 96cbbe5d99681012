"""`make kit texts=DIR`: data sets, checkpoints, their figures, cards and manifest, all anew.

What was stopped goes on with the same command.
"""

import argparse
import sys
import time
from pathlib import Path

from kit import cards, checkpoints, data, evaluate, images, replies, speech
from kit.distil import STATE, VOCABULARY
from kit.teacher import CACHE, NoTeacher
from kit.texts import NoTexts


def build(texts: Path) -> None:
    started = time.monotonic()
    data.build()
    replies.build()
    images.build_data()
    speech.build()
    for name in checkpoints.BUILDERS:
        if checkpoints.mark(name).exists():
            print(f"{name}: built before", flush=True)
            continue
        checkpoints.build((name,), texts)
        cards.write_manifest({})  # the next checkpoint and the evaluation load it through the kit
    print(evaluate.report(evaluate.evaluate(texts)))
    cards.write_all()
    for done in (CACHE / STATE, CACHE / VOCABULARY, evaluate.PARTIAL, *map(checkpoints.mark, checkpoints.BUILDERS)):
        done.unlink(missing_ok=True)
    print(f"all done after {(time.monotonic() - started) / 60:.0f} minutes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True, help="the folder that kit/sources.py has made")
    try:
        build(parser.parse_args().texts)
    except (NoTeacher, NoTexts, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
