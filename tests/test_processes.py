"""Two processes of `accelerate launch` share a training: its rows, its checkpoints, and its end."""

import os
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch
from safetensors.torch import load_file

from ftcourse.data import LengthBatches
from ftcourse.engine.batches import make_loader
from ftcourse.loop import TrainConfig
from tests.victim import tiny_data
from tools.settings import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
OPTIONS = ["--multi_gpu", "--num_processes=2", "--num_machines=1", "--main_process_port=0", "--mixed_precision=no"]
OPTIONS += ["--num_cpu_threads_per_process=1", "--dynamo_backend=no", "-m", "tests.victim"]


def launch(*arguments) -> subprocess.Popen:
    command = [sys.executable, "-m", "accelerate.commands.launch", *OPTIONS, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, **pipes)


def finished(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors[-3000:]
    return output.strip()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The weights after a training of two processes that nothing interrupted: 60 rows, 8 a step, 3 epochs."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert finished(launch(folder, "group_by_length")) == "2 24"
    return load_file(folder / "final.safetensors")


def test_two_processes_killed_and_resumed_end_in_the_same_weights(whole, tmp_path):
    folder = tmp_path / "run"
    process = launch(folder, "group_by_length")
    while not list(folder.glob("checkpoint-*.safetensors")) and process.poll() is None:
        time.sleep(0.001)
    for victim in [*psutil.Process(process.pid).children(recursive=True), process]:
        victim.kill()
    process.communicate()
    assert not (folder / "final.safetensors").exists()
    assert finished(launch(folder, "group_by_length", "resume")) == "2 24"
    final = load_file(folder / "final.safetensors")
    assert final and all(torch.equal(final[name], tensor) for name, tensor in whole.items())


def test_a_measured_precision_is_that_of_all_processes(tmp_path):
    assert finished(launch(tmp_path / "run", "random", "auto")) == "2 24"


def test_batches_of_one_step_have_similar_lengths():
    lengths = np.random.default_rng(0).integers(5, 100, 500)

    def spread(together):
        """How much longer the longest row of a step with two batches is than that of its shorter batch, on average."""
        batches = list(LengthBatches(lengths, 8, together=together))
        assert sorted(row for rows in batches for row in rows) == list(range(500))
        longest = [lengths[rows].max() for rows in batches]
        return np.mean([abs(a - b) for a, b in zip(longest[::2], longest[1::2], strict=False)])

    assert spread(2) < spread(1) / 4


def test_a_loader_for_one_process_has_the_batches_of_before():
    data = tiny_data()
    alone, pair = (list(make_loader(data, list, TrainConfig(batch_size=4), number)) for number in (1, 2))
    assert len(alone) == len(pair) == 15 and alone != pair
