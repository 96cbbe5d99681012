"""`ftcourse finetune` under `accelerate launch`: processes, on one machine or two, that work as one."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file

from ftcourse.engine.launch import connect
from ftcourse.engine.report import load_report
from tests.test_answers import ask
from tests.test_processes import ENVIRONMENT, OPTIONS
from tests.tiny import tiny_checkpoint
from tools.settings import ROOT

TEXTS = [f"{mark} food, visit {n}" for n in range(80) for mark in ("good", "bad")]
FRAME = pd.DataFrame({"review": TEXTS, "stars": ["good", "bad"] * 80})
SCRIPT = """
import json, sys
from pathlib import Path
from ftcourse.finetune import finetune
from ftcourse.loop import TrainConfig

def run(table, model, out, batch_size, **options):
    config = TrainConfig(epochs=3, lr=0.01, sampling="random", save_steps=1, batch_size=batch_size)
    return finetune(table, text="review", label="stars", model=model, output_dir=out, config=config, **options)

if __name__ == "__main__":
    try:
        run(*sys.argv[1:4], batch_size=4, **json.loads(sys.argv[4]))
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"said: {error}")
"""
run = {}
exec(SCRIPT.replace("__main__", "never"), run)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a table, a tiny model without dropout, and a script for each process."""
    folder = tmp_path_factory.mktemp("launch")
    FRAME.to_csv(folder / "table.csv", index=False)
    config = Path(tiny_checkpoint(folder / "tiny"), "config.json")
    config.write_text(re.sub(r'(dropout_prob": )[0-9.]+', r"\g<1>0", config.read_text()))
    (folder / "script.py").write_text(SCRIPT)
    return folder


def started(place, out, *prefix: str, options=OPTIONS[:-2], script=None, **asked) -> subprocess.Popen:
    words = [*prefix, sys.executable, "-m", "accelerate.commands.launch", *options, script or place / "script.py"]
    words += [place / "table.csv", place / "tiny", out, json.dumps(asked)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*map(str, words)], cwd=ROOT, env=ENVIRONMENT, **pipes)


def told(process: subprocess.Popen, code: int = 0) -> str:
    """What the processes of a launch wrote; where they failed, the lines of their own."""
    output, errors = process.communicate(timeout=240)
    assert process.returncode == code, errors[-3000:]
    return "\n".join(re.findall("said: .*", errors)) if code else output


def same(one, other, tolerance: float = 2e-3) -> bool:
    one, other = (load_file(folder / "model.safetensors") for folder in (one, other))
    return {*one} == {*other} and all(torch.allclose(one[name], other[name], atol=tolerance) for name in one)


@pytest.fixture(scope="module")
def alone(place):
    """The model that one process makes, with as many rows a step as two together."""
    run["run"](place / "table.csv", place / "tiny", place / "alone", batch_size=8)
    return place / "alone"


def test_two_processes_make_the_model_of_one_and_one_report(place, alone, tmp_path):
    output = told(started(place, tmp_path / "two"))
    assert output.count("160 rows were read") == 1
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in alone.iterdir()}
    one, two = load_report(alone), load_report(tmp_path / "two")
    assert one.sizes == two.sizes and np.allclose(one.history["losses"], two.history["losses"], atol=1e-3)
    assert same(alone, tmp_path / "two") and not same(alone, place / "tiny")


def test_processes_that_differ_say_so_and_stop(place, tmp_path):
    """A process with another table, and a folder that only the first one sees."""
    script = place / "unlike.py"
    script.write_text(f"""
import os, sys
if os.environ["RANK"] == "1":
    sys.argv[1] = sys.argv[1].replace("table", "other")
{SCRIPT}""")
    FRAME.iloc[::-1].to_csv(place / "other.csv", index=False)
    process = started(place, tmp_path / "out", script=script)
    assert "table is " in (said := told(process, 1)) and "other.csv" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_processes_of_other_versions_name_both(place, tmp_path):
    (tmp_path / "old" / "datasets-0.0.1.dist-info").mkdir(parents=True)
    (tmp_path / "old" / "datasets-0.0.1.dist-info" / "METADATA").write_text("Name: datasets\nVersion: 0.0.1\n")
    script = place / "old.py"
    script.write_text(f"""
import os, sys
if os.environ["RANK"] == "1":
    sys.path.insert(0, {str(tmp_path / "old")!r})
{SCRIPT}""")
    said = told(started(place, tmp_path / "out", script=script), 1)
    assert "datasets is '0.0.1' here and '" in said and not (tmp_path / "out").exists()


# a model in shards

EXAMPLES = ROOT / "examples" / "launch"
FSDP = [f"--config_file={EXAMPLES / 'fsdp-processors.yaml'}"]


@pytest.mark.long
@pytest.mark.parametrize("kill", [False, True])
def test_processes_with_a_shard_each_make_the_model_of_one_and_go_on_after_a_kill(place, alone, tmp_path, kill):
    script, out = place / "sharded.py", tmp_path / "out"
    script.write_text(f"""
from ftcourse.engine.run import Run
step = Run.end_step
def end_step(self, loss):
    print("shard of", *next(self.model.parameters()).to_local().shape)
    step(self, loss)
Run.end_step = end_step
{SCRIPT}""")
    process = started(place, out, options=FSDP, script=script)
    while kill and not list(out.glob("training/checkpoint-*.safetensors")) and process.poll() is None:
        time.sleep(0.01)
    if kill:
        for victim in [*psutil.Process(process.pid).children(recursive=True), process]:
            victim.kill()
        process.communicate()
        assert not (out / "report.json").exists()
        process = started(place, out, options=FSDP, script=script, resume=True)
    output = told(process)
    rows, size = load_file(alone / "model.safetensors")["bert.embeddings.word_embeddings.weight"].shape
    assert f"shard of {rows // 2} {size}" in output
    assert same(alone, out) and {path.name for path in out.iterdir()} == {path.name for path in alone.iterdir()}


@pytest.mark.long
def test_the_best_epoch_is_kept_of_shards_too_and_gradients_are_clipped(place, tmp_path):
    script = place / "best.py"
    script.write_text(SCRIPT.replace("batch_size=batch_size", 'batch_size=batch_size, keep="best", clip=0.1'))
    for out, options in (("shards", FSDP), ("copies", OPTIONS[:-2])):
        told(started(place, tmp_path / out, options=options, script=script))
    assert same(tmp_path / "shards", tmp_path / "copies")


def test_deepspeed_is_refused_in_a_line(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(ValueError, match="cannot run under DeepSpeed; take a configuration with FSDP"):
        connect()


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_configuration_is_one_that_accelerate_reads(path):
    config = load_config_from_file(str(path))
    assert config.num_processes >= 2 and f"--config_file {path.name} -m ftcourse.cli" in path.read_text()
    assert bool(config.fsdp_config) == path.stem.startswith("fsdp")


# the launcher


def launch(*words, code: int = 1) -> str:
    said = ask("launch", *words, "finetune", "a.csv", "--text", "a", "--label", "b", "--out", "m", code=code).output
    assert len(said.splitlines()) == 1
    return said


@pytest.fixture
def port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken


def test_a_machine_that_does_not_answer_is_told_in_time(port):
    two, where = ("--nnodes", 2, "--wait", 1), port.getsockname()[1]
    port.close()
    assert "not all of the 2 machines are here" in launch(*two, "--master-port", where)
    assert f"nobody has answered at 127.0.0.1, port {where}" in launch(*two, "--master-port", where, "--node-rank", 1)


def test_a_port_in_use_and_a_number_that_no_machine_has(port):
    port.listen()
    where = port.getsockname()[1]
    assert f"another program uses port {where}" in launch("--nnodes", 2, "--wait", 1, "--master-port", where)
    assert "--node-rank is 2, with 2 machines" in launch("--nnodes", 2, "--node-rank", 2, code=2)


@pytest.mark.long
def test_the_launcher_ends_with_the_code_and_the_line_of_its_processes(place, tmp_path):
    words = [
        "launch",
        "--nproc-per-node",
        "2",
        "finetune",
        place / "table.csv",
        "--text",
        "review",
        "--out",
        tmp_path / "m",
    ]
    words += ["--model", place / "tiny", "--epochs", "1", "--label"]
    command = [sys.executable, "-m", "ftcourse.cli", *map(str, words)]
    run = partial(subprocess.run, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    wrong = run([*command, "nothing"])
    assert wrong.returncode == 2 and "has no column 'nothing'" in wrong.stderr
    assert {line.split(":")[0] for line in wrong.stderr.splitlines()} == {"Error"}
    right = run([*command, "stars"])
    assert right.returncode == 0 and right.stdout.count("The model is in") == 1 and not right.stderr


@pytest.mark.long
def test_a_process_that_does_not_answer_any_more_ends_the_others(place, tmp_path):
    script = place / "frozen.py"
    script.write_text(f"""
import os, signal
from datetime import timedelta
import ftcourse.engine.launch
ftcourse.engine.launch.WAIT = timedelta(seconds=5)
if os.environ["RANK"] == "1":
    import ftcourse.engine.run
    ftcourse.engine.run.Run.end_step = lambda *_: os.kill(os.getpid(), signal.SIGSTOP)
{SCRIPT}""")
    process = started(place, tmp_path / "out", script=script)
    family = psutil.Process(process.pid).children
    while len(family()) < 2 and process.poll() is None:
        time.sleep(0.1)
    workers = family()
    errors = ""
    while process.poll() is None and workers[0].is_running() and workers[0].status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.1)
    for one in workers:
        one.kill()
    errors = process.communicate()[1]
    assert "said: another process of this training is gone, or cannot be reached" in errors


# two machines


def ip(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=True)


@pytest.fixture
def hosts():
    """Two hosts with a cable between them: namespaces of the network, and the name of each one's card."""
    mark = f"{os.getpid() % 10000}"
    names, cards = [f"ft{mark}{side}" for side in "ab"], [f"v{mark}{side}" for side in "ab"]
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", cards[0], "netns", names[0], "type", "veth", "peer", "name", cards[1], "netns", names[1])
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespaces of the network here: {getattr(error, 'stderr', None) or error}")
    try:
        for number, (name, card) in enumerate(zip(names, cards, strict=True), start=1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", card)
            for link in ("lo", card):
                ip("-n", name, "link", "set", link, "up")
        yield [*zip(names, cards, strict=True)]
    finally:
        for name in names:
            for process in ip("netns", "pids", name).stdout.split():
                os.kill(int(process), signal.SIGKILL)
            ip("netns", "del", name)


def both(place, out, hosts, **asked) -> list[subprocess.Popen]:
    """The same call on two machines, each with one process."""
    where = ["--main_process_ip=10.77.0.1", "--main_process_port=29577", "--num_machines=2"]
    options = [word for word in OPTIONS[:-2] if not word.startswith(("--main_process", "--num_machines"))] + where
    return [
        started(
            place,
            out,
            *("ip", "netns", "exec", name, "env", f"GLOO_SOCKET_IFNAME={card}"),
            options=[*options, f"--machine_rank={number}"],
            **asked,
        )
        for number, (name, card) in enumerate(hosts)
    ]


@pytest.mark.long
def test_two_machines_make_the_model_of_one_and_go_on_after_one_was_lost(place, alone, tmp_path, hosts):
    out = tmp_path / "out"
    first, second = both(place, out, hosts)
    while not list(out.glob("training/checkpoint-*.safetensors")) and second.poll() is None:
        time.sleep(0.01)
    for process in ip("netns", "pids", hosts[1][0]).stdout.split():
        os.kill(int(process), signal.SIGKILL)
    second.communicate()
    assert "another process of this training is gone" in told(first, 1)
    assert not (out / "report.json").exists()
    outputs = [told(process) for process in both(place, out, hosts, resume=True)]
    assert [output.count("160 rows were read") for output in outputs] == [1, 0]
    assert same(alone, out) and {path.name for path in out.iterdir()} == {path.name for path in alone.iterdir()}
