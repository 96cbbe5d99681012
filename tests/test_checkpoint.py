"""Nothing is lost: trainings that are killed, disks that are full, files that are damaged."""

import copy
import json
import math
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
import torch
from datasets import Dataset
from safetensors import safe_open
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification, default_data_collator

from ftcourse.engine import checkpoint
from ftcourse.engine.checkpoint import Checkpoints, random_state, read_checkpoint, set_random_state
from ftcourse.engine.folders import claim_folder
from ftcourse.engine.run import begun
from ftcourse.loop import History, TrainConfig, evaluate, train
from tests.tiny import same_weights
from tests.victim import main, run
from tools.settings import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def stop_saving_after(monkeypatch, calls: int, error: BaseException) -> None:
    """Let `calls` checkpoints be written; the next attempt raises an error."""
    written, save = [], checkpoint.save_file

    def limited(tensors, path, metadata):
        written.append(path)
        if len(written) > calls:
            path.write_bytes(b"half of it")
            raise error
        save(tensors, path, metadata)

    monkeypatch.setattr(checkpoint, "save_file", limited)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The model and history of a training that nothing interrupted."""
    return {
        sampling: run(tmp_path_factory.mktemp("whole") / "run", sampling=sampling)
        for sampling in ("random", "group_by_length")
    }


@pytest.mark.parametrize("sampling", ["random", "group_by_length"])
@pytest.mark.parametrize("times", [4, pytest.param(20, marks=pytest.mark.long)])
def test_a_training_killed_again_and_again_ends_in_the_same_weights(whole, tmp_path, sampling, times):
    """Killed at random moments from the first step on; each time, what is left can be read."""
    folder, rng, kills = tmp_path / "run", random.Random(sampling), 0
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.victim"])
    for _ in range(times):
        process = context.Process(target=main, args=(str(folder), sampling, True))
        before = newest(folder)
        process.start()
        while process.is_alive() and newest(folder) == before:
            time.sleep(0.001)
        time.sleep(rng.random() * 0.03)
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
        assert newest(folder)
        for path in folder.glob("checkpoint-*.safetensors"):
            read_checkpoint(path)
    assert kills >= times - 2
    process = context.Process(target=main, args=(str(folder), sampling, True))
    process.start()
    process.join()
    final = load_file(folder / "final.safetensors")
    assert all(torch.equal(final[name], value) for name, value in whole[sampling][0].state_dict().items())
    assert not list(folder.glob("*.part"))


def newest(folder) -> str:
    return max((path.name for path in folder.glob("checkpoint-*.safetensors")), default="")


@pytest.mark.parametrize(
    "calls", [pytest.param(calls, marks=[pytest.mark.long] if calls % 8 != 1 else []) for calls in range(1, 48)]
)
def test_stopped_after_any_step_the_history_is_the_same_too(whole, tmp_path, monkeypatch, calls):
    model, history = whole["random"]
    with monkeypatch.context() as patch:
        stop_saving_after(patch, calls, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "run", sampling="random")
    resumed, found = run(tmp_path / "run", resume=True, sampling="random")
    assert same_weights(model, resumed)
    assert (found.losses, found.lrs, found.metrics, found.steps) == (
        history.losses,
        history.lrs,
        history.metrics,
        history.steps,
    )


def test_a_checkpoint_costs_as_much_after_many_steps_as_after_few(tmp_path, monkeypatch):
    asked, headers = [], []
    monkeypatch.setattr(torch.Tensor, "item", lambda tensor: asked.append(tensor) or 0.0)
    with begun(network(), ROWS, default_data_collator, SHORT, History(), output_dir=tmp_path / "run") as under_way:
        for number in (10, 1000):
            under_way.losses = [torch.tensor(0.1)] * number
            under_way.history = History([0.1] * number, [1e-4] * 2 * number)
            asked.clear()
            tensors, state = under_way.checkpoints.capture(under_way, [])
            headers.append(len(json.dumps({**state, "elapsed": 0.0, "schedule": None}, default=float)))
            assert not asked and len(tensors["history.lrs"]) == 2 * number
    assert headers[0] == headers[1]


def test_a_checkpoint_of_before_with_its_losses_in_the_header_is_gone_on_from(whole, tmp_path, monkeypatch):
    folder, (model, history) = tmp_path / "run", whole["random"]
    with monkeypatch.context() as patch:
        stop_saving_after(patch, 20, KeyboardInterrupt())  # in the second epoch
        with pytest.raises(KeyboardInterrupt):
            run(folder, sampling="random")
    path = folder / newest(folder)
    tensors, state = read_checkpoint(path)
    state["losses"] = tensors.pop("run.losses").tolist()
    state["history"] |= {name: tensors.pop(f"history.{name}").tolist() for name in checkpoint.STEPS}
    assert state["losses"] and state["history"]["losses"]
    checkpoint.write_checkpoint(path, tensors, state)
    resumed, found = run(folder, resume=True, sampling="random")
    assert same_weights(model, resumed) and (found.losses, found.lrs) == (history.losses, history.lrs)


@pytest.mark.parametrize("calls", [0, 1, 7])
def test_a_write_that_fails_ends_in_one_line_and_the_last_checkpoint_is_good(whole, tmp_path, monkeypatch, calls):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_saving_after(patch, calls, OSError(28, "No space left on device"))
        with pytest.raises(
            OSError, match="cannot write the checkpoint .*: No space left on device; make room"
        ) as error:
            run(folder, sampling="random")
    assert "\n" not in str(error.value)
    assert [path.suffix for path in folder.iterdir()] == [".safetensors"] * min(calls, 2)
    assert same_weights(run(folder, resume=True, sampling="random")[0], whole["random"][0])


def test_a_real_limit_on_the_size_of_files_ends_in_one_line(tmp_path):
    """What the operating system refuses, half-way through a file: not a patched function."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    command = [sys.executable, "-m", "tests.victim", str(tmp_path / "run"), "random"]
    process = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, preexec_fn=limit)
    last = process.stderr.strip().splitlines()[-1]
    assert process.returncode == 1 and last.startswith("OSError: cannot write the checkpoint"), process.stderr
    assert list((tmp_path / "run").iterdir()) == []


def test_a_small_file_system_that_is_full_leaves_the_last_checkpoint_readable(tmp_path):
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True)
    if mount.returncode:
        pytest.skip("mounting is not allowed here; the other tests of failing writes cover it")
    try:
        (tmp_path / "run").mkdir()
        filler = tmp_path / "filler"
        command = [sys.executable, "-m", "tests.victim", str(tmp_path / "run"), "random", "resume"]
        process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while not newest(tmp_path / "run") and process.poll() is None:
            time.sleep(0.001)
        with open(filler, "wb", buffering=0) as file:
            while process.poll() is None:
                with suppress(OSError):
                    file.write(b"0" * 4096)
        errors = process.communicate(timeout=60)[1].decode()
        assert "cannot write the checkpoint" in errors.splitlines()[-1]
        assert newest(tmp_path / "run")
        read_checkpoint(tmp_path / "run" / newest(tmp_path / "run"))
        filler.unlink()
        assert subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, stdout=subprocess.PIPE).returncode == 0
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.parametrize("left", [0, 5, 1000, -1])
def test_a_truncated_checkpoint_is_named_and_the_one_before_is_taken(whole, tmp_path, monkeypatch, left):
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        stop_saving_after(patch, 9, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(folder, sampling="random")
    damaged = folder / newest(folder)
    damaged.write_bytes(damaged.read_bytes()[:left])
    with pytest.warns(UserWarning, match=f"{damaged.name}' is damaged: .*; going on from 'checkpoint-00000008"):
        resumed, _ = run(folder, resume=True, sampling="random")
    assert same_weights(resumed, whole["random"][0])


def test_where_all_checkpoints_are_damaged_the_message_says_so(tmp_path):
    run(tmp_path / "run", epochs=1)
    for path in (tmp_path / "run").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="is damaged: .*, and there is no other; delete the folder") as error:
        run(tmp_path / "run", epochs=1, resume=True)
    assert "\n" not in str(error.value)


def test_a_finished_training_is_not_trained_on(whole, tmp_path):
    run(tmp_path / "run", sampling="random")
    model, history = run(tmp_path / "run", resume=True, sampling="random")
    assert same_weights(model, whole["random"][0]) and len(history.steps) == 3


@pytest.mark.parametrize(("name", "value"), [("lr", 0.02), ("batch_size", 4), ("seed", 1), ("epochs", 4)])
def test_a_training_begun_otherwise_is_not_continued(tmp_path, name, value):
    run(tmp_path / "run")
    with pytest.raises(ValueError, match=f"was begun with {name}=.*, not {value}; go on with the same"):
        run(tmp_path / "run", resume=True, **{name: value})


def test_nothing_is_overwritten_unasked(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="is not empty, and nothing is overwritten; choose another"):
        run(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run", "/proc/run"):
        with pytest.raises(OSError, match="cannot write to the folder .*; choose another"):
            claim_folder(folder)


def test_resume_without_a_folder_is_refused():
    with pytest.raises(ValueError, match="resume=True needs output_dir"):
        run(None, resume=True)


def test_a_checkpoint_is_plain_safetensors(tmp_path):
    run(tmp_path / "run", epochs=1)
    files = list((tmp_path / "run").iterdir())
    assert files and all(path.suffix == ".safetensors" for path in files)
    with safe_open(files[0], framework="pt") as file:
        assert [*file.metadata()] == ["state"]


def test_shared_weights_are_written_once_and_come_back(tmp_path):
    layer = torch.nn.Linear(2, 2)
    assert [name for name, _ in checkpoint.weights(torch.nn.Sequential(layer, layer))] == ["0.weight", "0.bias"]


def test_the_folder_of_another_plan_is_named(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", {"lr": 0.1})
    with pytest.raises(ValueError, match="was begun with lr=0.2, not 0.1"):
        checkpoints.check_plan({"lr": 0.2})


def network(hidden_size: int = 16) -> BertForSequenceClassification:
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 16}
    return BertForSequenceClassification(BertConfig(vocab_size=20, hidden_size=hidden_size, **sizes))


ROWS = Dataset.from_dict({"input_ids": [[2, 5 + n, 3] for n in range(8)], "labels": [0, 1] * 4})
SHORT = TrainConfig(epochs=2, batch_size=2)


def small_run(folder, model=None, **options):
    model = model or network()
    return model, train(model, ROWS, ROWS, collate=default_data_collator, config=SHORT, output_dir=folder, **options)


def test_another_network_does_not_go_on_from_here_and_stays_as_it_is(tmp_path):
    small_run(tmp_path / "run")
    wider, frozen = network(hidden_size=32), network()
    frozen.bert.embeddings.requires_grad_(False)
    for model in (wider, frozen):
        before = {name: value.clone() for name, value in model.state_dict().items()}
        with pytest.raises(ValueError, match="was begun with another model: the shapes"):
            small_run(tmp_path / "run", model, resume=True)
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_another_number_of_processes_is_refused(tmp_path, monkeypatch):
    small_run(tmp_path / "run")
    monkeypatch.setattr("accelerate.Accelerator.num_processes", property(lambda _: 2))
    model = network()
    with pytest.raises(ValueError, match="was begun in 1 processes, not in 2"):
        small_run(tmp_path / "run", model, resume=True)


@pytest.mark.parametrize("fails", [lambda _: {"f1": [0.5, 0.5]}, lambda _: {"f1": np.zeros(2)}, lambda _: 1 / 0])
def test_a_metric_that_fails_does_not_cost_the_epoch(tmp_path, fails):
    torch.manual_seed(0)
    start = network()
    whole = copy.deepcopy(start)
    with pytest.raises((ValueError, ZeroDivisionError)):
        small_run(tmp_path / "run", copy.deepcopy(start), metrics=fails)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["checkpoint-00000004.safetensors"]
    resumed, history = small_run(tmp_path / "run", start, metrics=lambda _: {"f1": np.float32(0.5)}, resume=True)
    small_run(tmp_path / "whole", whole)
    assert same_weights(resumed, whole) and [scores["f1"] for scores in history.metrics] == [0.5, 0.5]


def test_rows_without_labels_that_count_change_nothing():
    torch.manual_seed(0)
    model = network()
    labels = [0, -100, 1, -100]
    rows = Dataset.from_dict({"input_ids": [[2, 5 + n, 3] for n in range(4)], "labels": labels})
    losses = [evaluate(model, rows, collate=default_data_collator, batch_size=size)["loss"] for size in (1, 4)]
    assert losses[0] == pytest.approx(losses[1]) and math.isfinite(losses[0])
    config = TrainConfig(epochs=1, batch_size=1, accumulation=2)
    assert all(math.isfinite(loss) for loss in train(model, rows, collate=default_data_collator, config=config).losses)


def test_random_states_of_more_graphics_cards_than_are_here_are_put_back(monkeypatch):
    put = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, card: put.append((card, state.tolist())))
    set_random_state(random_state() | {"cuda": [[1, 2], [3, 4]]})
    assert put == [(0, [1, 2])]
