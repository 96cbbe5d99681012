"""`make kit`: data sets, checkpoints, their figures, cards and manifest, all anew."""

import time

from kit import cards, checkpoints, data, evaluate


def main() -> None:
    started = time.monotonic()
    steps = {"data": data.build, "checkpoints": checkpoints.build}
    for name, step in steps.items():
        step()
        print(f"{name}: done after {(time.monotonic() - started) / 60:.0f} minutes", flush=True)
    cards.write_manifest({})  # the evaluation loads the new files through Kit
    evaluate.PARTIAL.unlink(missing_ok=True)
    results = evaluate.evaluate()
    cards.write_all()
    print(evaluate.report(results))
    print(f"all done after {(time.monotonic() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
