"""`accelerate launch` on one and on two processes of one thread each, with the same rows a step."""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import compare, report, take_turns

STEP = 32  # rows, in all processes together


def main() -> None:
    contestants = {
        f"{number} process{'es' if number > 1 else ''}": lambda seed, number=number: lambda: launch(number)
        for number in (1, 2)
    }
    results = take_turns(contestants, rounds=3)
    for runs in results.values():
        for run in runs:
            run["seconds"] = run.pop("training")  # without starting the interpreter and loading
    report("processes", {f"{STEP} rows a step": compare(results, "2 processes")})


def launch(number: int) -> dict[str, float]:
    """Starts this file in so many processes; returns the seconds of the second epoch, and the last loss."""
    options = ["--num_machines=1", f"--num_processes={number}", "--main_process_port=0", "--mixed_precision=no"]
    options += ["--num_cpu_threads_per_process=1", "--dynamo_backend=no", *(["--multi_gpu"] if number > 1 else [])]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as folder:
        file = Path(folder, "result.json")
        command = [
            sys.executable,
            "-m",
            "accelerate.commands.launch",
            *options,
            "-m",
            "benchmarks.processes",
            str(file),
        ]
        subprocess.run(command, check=True, env=environment, capture_output=True)
        return json.loads(file.read_text())


def work(file: Path) -> None:
    from accelerate import Accelerator, PartialState

    from benchmarks.train import kit_task
    from ftcourse.loop import TrainConfig, train

    task, state = kit_task("reviews", num_rows=480, num_valid=1), Accelerator().state
    config = TrainConfig(epochs=2, batch_size=STEP // state.num_processes, lr=task.lr)
    history = train(task.new_model(0), task.train_data, collate=task.collate, config=config)
    if state.is_main_process:
        file.write_text(json.dumps({"training": history.seconds[-1], "loss": history.losses[-1]}))
    PartialState().destroy_process_group()


if __name__ == "__main__":
    work(Path(sys.argv[1]))
