"""`accelerate launch` on one and on two processes of one thread each, with the same rows a step. Both groups start
once, and wait, asleep, until it is their turn: `python -m benchmarks.processes FOLDER ROWS` is such a process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.measure import ROUNDS, Contestant, compare, report, take_turns
from ftcourse.engine.folders import written_whole

STEP = 32  # rows, in all processes together
PATIENCE = 300  # seconds


@contextmanager
def group(number: int, rows: int) -> Iterator[Callable[[int], dict[str, float]]]:
    """So many processes, ready to train: gives a function that lets them do so once, and says how long it took."""
    options = ["--num_machines=1", f"--num_processes={number}", "--main_process_port=0", "--mixed_precision=no"]
    options += ["--num_cpu_threads_per_process=1", "--dynamo_backend=no", *(["--multi_gpu"] if number > 1 else [])]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    with TemporaryDirectory() as folder, open(Path(folder, "said"), "w+") as said:
        module = ["-m", "benchmarks.processes", folder, str(rows)]
        command = [sys.executable, "-m", "accelerate.commands.launch", *options, *module]
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)

        def turn(seed: int) -> dict[str, float]:
            answer, since = Path(folder, f"{seed}.done"), time.monotonic()
            Path(folder, f"{seed}.go").touch()
            while not answer.exists():
                if process.poll() is not None or time.monotonic() - since > PATIENCE:
                    said.seek(0)
                    raise RuntimeError(f"{number} processes gave no answer: {said.read()[-500:]}")
                time.sleep(0.02)
            return json.loads(answer.read_text())

        try:
            yield turn
        finally:
            Path(folder, "stop").touch()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait()


def title(number: int) -> str:
    """What a group is called in the table.

    >>> title(1), title(2)
    ('1 process', '2 processes')
    """
    return f"{number} process{'es' if number > 1 else ''}"


def main(rows: int = 128, rounds: int = ROUNDS, numbers: tuple[int, ...] = (1, 2)) -> None:
    with ExitStack() as stack:
        turns = {number: stack.enter_context(group(number, rows)) for number in numbers}

        def contestant(number: int) -> Contestant:
            def prepared(seed: int) -> Callable[[], dict[str, float]]:
                if seed == 0:
                    turns[number](-1)  # to be warm
                return lambda: turns[number](seed)

            return prepared

        results = take_turns({title(number): contestant(number) for number in numbers}, rounds)
    for runs in results.values():
        for run in runs if isinstance(runs, list) else []:
            run["seconds"] = run.pop("training")  # without drawing up the model and handing it to all
            run.pop("processor")  # of this process, which only waits
    report("processes", {f"kit encoder, {rows} reviews, {STEP} rows a step": compare(results, title(numbers[-1]))})


def wait_for(folder: Path, seed: int) -> bool:
    """Sleeps until it is the turn of this seed, or, with False, until all is over."""
    since = time.monotonic()
    while not (folder / "stop").exists() and time.monotonic() - since < 10 * PATIENCE:
        if (folder / f"{seed}.go").exists():
            return True
        time.sleep(0.01)
    return False


def work(folder: Path, rows: int) -> None:
    from accelerate import Accelerator, PartialState

    from benchmarks.train import kit_task
    from ftcourse.loop import TrainConfig, train

    task, state, seed = kit_task("reviews", num_rows=rows, num_valid=1), Accelerator().state, -1
    config = TrainConfig(epochs=1, batch_size=STEP // state.num_processes, lr=task.lr)
    while wait_for(folder, seed):
        history = train(task.new_model(seed + 1), task.train_data, collate=task.collate, config=config)
        if state.is_main_process:
            with written_whole(folder / f"{seed}.done") as part:
                part.write_text(json.dumps({"training": history.seconds[-1], "loss": history.losses[-1]}))
        seed += 1
    PartialState().destroy_process_group()


if __name__ == "__main__":
    work(Path(sys.argv[1]), int(sys.argv[2]))
