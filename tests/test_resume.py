"""Nothing is taken for what it is not, and nothing is lost: tables that changed, two processes at once, kills."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoTokenizer, GPT2Config, GPT2ForSequenceClassification
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine import locks
from ftcourse.engine.answers import Asked, part_of
from ftcourse.engine.calls import call_of
from ftcourse.engine.checks import LANGS
from ftcourse.engine.contents import bytes_hash, content_hash
from ftcourse.engine.folders import MARK, check_call, claim_run, only_file, only_one, reason
from ftcourse.engine.loading import loading, wrong_tokenizer
from ftcourse.engine.messages import language, speaking
from ftcourse.engine.models import save_all, small_example, start_model
from ftcourse.engine.progress import quiet_libraries
from ftcourse.engine.report import load_report
from ftcourse.engine.tables import TableFile
from ftcourse.finetune import finetune
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, evaluate, train
from ftcourse.model import classifier
from tests import victim
from tests.test_messages import SCRIPTS
from tests.tiny import FAST, tiny_checkpoint

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.victim", "ftcourse.finetune", "ftcourse.cli"])
TEXTS = [f"{word} food, visit {n}" for n in range(20) for word in ("good", "bad")]
FRAME = pd.DataFrame({"review": TEXTS, "stars": ["good", "bad"] * 20})
CORRECTED = FRAME.assign(stars=["bad", "good"] * 2 + ["good", "bad"] * 18)  # as many letters as before
KINDS = {
    "frame": lambda frame, folder: frame,
    "dataset": lambda frame, folder: Dataset.from_pandas(frame),
    "csv": lambda frame, folder: written(frame, folder),
    "table file": lambda frame, folder: TableFile(str(written(frame, folder)), encoding="utf-8"),
}
STEPS = TrainConfig(epochs=6, batch_size=4, lr=5e-3, save_steps=2)


def written(frame: pd.DataFrame, folder: Path) -> Path:
    """A CSV of always the same name, size and time."""
    frame.to_csv(folder / "reviews.csv", index=False)
    os.utime(folder / "reviews.csv", (1e9, 1e9))
    return folder / "reviews.csv"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def started(target, *arguments):
    """A process of its own that runs a function of `tests.victim`."""
    process = CONTEXT.Process(target=target, args=tuple(map(str, arguments)))
    process.start()
    return process


def wait_for(process, found) -> None:
    """Until a function finds something, or the process has ended."""
    while process.is_alive() and not found():
        time.sleep(0.005)
    assert found()


# what is in a table


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_content_is_the_same_in_another_process_and_another_one_is_not(tmp_path, kind):
    odd = FRAME.assign(more=[{"a", "b", "c"}, None] * 20, at=pd.Timestamp("2024-01-01"), half=0.5)
    frame = FRAME if kind == "dataset" else odd
    table = KINDS[kind](frame, tmp_path)
    with CONTEXT.Pool(1) as pool:
        elsewhere = pool.apply(content_hash, [str(table) if kind == "csv" else table])
    first = content_hash(table)
    assert first == elsewhere == content_hash(KINDS[kind](frame.copy(), tmp_path))
    (tmp_path / "more").mkdir()
    for other in (
        CORRECTED,
        FRAME[::-1],
        FRAME.rename(columns={"stars": "star"}),
        FRAME[:-1],
        FRAME.drop(columns="stars"),
    ):
        assert content_hash(KINDS[kind](other, tmp_path)) != first


def test_rows_of_a_data_set_count_as_they_are_seen_and_not_as_they_lie():
    rows = Dataset.from_pandas(FRAME)
    assert content_hash(rows.select(range(4, 40))) == content_hash(
        Dataset.from_pandas(FRAME[4:].reset_index(drop=True))
    )
    assert content_hash(rows.shuffle(seed=1)) != content_hash(rows)


def test_what_is_no_table_has_no_content(tmp_path):
    for table in (None, 3, [1], {"train": FRAME}, tmp_path, tmp_path / "none.csv"):
        assert content_hash(table) is None
    assert content_hash(pd.DataFrame({"text": [{(1, 2): 3}, "a"]}))


def test_a_folder_is_its_files_and_their_names(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("1")
    first = bytes_hash(tmp_path)
    (tmp_path / "in" / ".hidden").write_text("2")
    assert bytes_hash(tmp_path) == first
    (tmp_path / "in" / "a").rename(tmp_path / "in" / "b")
    assert bytes_hash(tmp_path) != first


# resume after the table changed


@pytest.mark.parametrize("kind", KINDS)
def test_a_finished_folder_is_not_presented_for_another_table(call, tmp_path, kind):
    call(KINDS[kind](FRAME, tmp_path))
    call(KINDS[kind](FRAME.copy(), tmp_path), resume=True)
    for other in (CORRECTED, pd.concat([FRAME, FRAME[:2]], ignore_index=True)):
        with pytest.raises(
            ValueError, match="was begun with another table: .* has changed since.*Train anew in another"
        ):
            call(KINDS[kind](other, tmp_path), resume=True)
    call(KINDS[kind](FRAME, tmp_path), resume=True)


def test_a_folder_begun_is_not_gone_on_with_for_another_table(call, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        call(written(FRAME, tmp_path), metrics=stop)
    with pytest.raises(ValueError, match="'reviews.csv' has changed since"):
        call(written(CORRECTED, tmp_path), resume=True)
    assert call(written(FRAME, tmp_path), resume=True).predict(["good"]).labels


def test_the_command_line_says_that_the_table_is_another_one(tiny, tmp_path):
    words = ["finetune", written(FRAME, tmp_path), "--text", "review", "--label", "stars", "--out", tmp_path / "out"]
    words = [*map(str, words), "--model", tiny, "--epochs", "1"]
    assert CliRunner().invoke(app, words).exit_code == 0
    report = (tmp_path / "out" / "report.json").read_bytes()
    written(CORRECTED, tmp_path)
    run = CliRunner().invoke(app, [*words, "--resume"])
    assert run.exit_code == 2 and "another table" in run.output and "40 rows" not in run.output
    assert (tmp_path / "out" / "report.json").read_bytes() == report


@pytest.mark.parametrize(
    ("lang", "said"), [("en", "another table"), ("ar", "بجدول آخر"), ("zh", "另一份表格"), ("zh-Hant", "另一份表格")]
)
def test_it_is_said_in_each_language(tmp_path, lang, said):
    calls = [
        call_of(KINDS["csv"](frame, tmp_path), ["review", "stars"], None, 0.1, FAST, lang)
        for frame in (FRAME, CORRECTED)
    ]
    with speaking(lang), pytest.raises(ValueError, match=said):
        check_call(tmp_path, *calls)


def test_a_table_for_validation_counts_as_well():
    begun = {"table": "a.csv", "table content": "1", "validation": "b.csv", "validation content": "2", "usual": {}}
    check_call(Path("out"), begun, begun)
    for how in ("b.csv", {"table": "b.csv", "how": {}}):
        with pytest.raises(ValueError, match="'b.csv' has changed"):
            check_call(Path("out"), begun | {"validation": how}, begun | {"validation": how, "validation content": "3"})
    call = call_of(FRAME, ["review", "stars"], None, 0.1, FAST, "en")
    assert call["validation content"] is None and call["table content"]


def test_a_folder_of_a_version_before_is_gone_on_with_and_a_warning_says_what_is_not_known(call, tmp_path):
    call(FRAME)
    mark = tmp_path / "out" / MARK
    begun = json.loads(mark.read_text())
    kept = ("table", "columns", "model", "validation", "lang", "epochs", "batch_size", "lr", "seed")
    plan = {name: begun[name] for name in vars(FAST) if name in begun and name != "class_weights"}
    mark.write_text(json.dumps({name: begun[name] for name in kept} | plan))
    with pytest.warns(UserWarning, match="before tables were told apart .*; if 'DataFrame' has changed"):
        call(FRAME, resume=True)
    with pytest.raises(ValueError, match="begun with regression=False, not True"):
        call(FRAME, resume=True, regression=True)


def test_the_command_line_has_one_line_for_a_warning(tiny, tmp_path):
    words = ["finetune", written(FRAME, tmp_path), "--text", "review", "--label", "stars", "--out", tmp_path / "out"]
    words = [*map(str, words), "--model", tiny, "--epochs", "1"]
    assert CliRunner().invoke(app, words).exit_code == 0
    mark = tmp_path / "out" / MARK
    begun = json.loads(mark.read_text())
    mark.write_text(json.dumps({name: value for name, value in begun.items() if name != "table content"}))
    run = CliRunner().invoke(app, [*words, "--resume"])
    assert run.exit_code == 0 and "Note: the work in" in run.stderr and "Warning" not in run.output
    assert len(run.stderr.strip().splitlines()) == 1


def test_answers_of_another_table_or_model_are_not_gone_on_with(tiny, tmp_path):
    def part(frame):
        return part_of(tmp_path / "a.csv", Path(model), Asked(TableFile(written(frame, tmp_path)), ["review"]))

    model = tiny_checkpoint(tmp_path / "model")
    first = part(FRAME)
    assert part(FRAME) == first != part(CORRECTED)
    config = Path(model) / "config.json"
    before = config.stat()
    config.write_text(config.read_text().replace("gelu", "relu"))
    os.utime(config, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert part(FRAME) != first


# one process at a time


def test_two_trainings_at_once_one_is_refused_and_a_killed_one_blocks_nobody(call, tiny, tmp_path):
    table, out = written(FRAME, tmp_path), tmp_path / "out"
    process = started(victim.tune, table, tiny, out, 2000)
    wait_for(process, lambda: [*out.glob("training/*.safetensors")])
    for again in (lambda: call(table, config=STEPS, resume=True), lambda: victim.run(out / "training", resume=True)):
        with pytest.raises(
            BlockingIOError, match=rf"another process is writing to .*: number {process.pid} on .*, since 2"
        ):
            again()
    process.kill()
    process.join()
    assert locks.gone(locks.holder_of(out / locks.LOCK))
    with pytest.raises(ValueError, match="begun with epochs=2000, not 6"):
        call(table, config=STEPS, resume=True)


def test_two_at_once_are_refused_on_the_command_line(tiny, tmp_path):
    table = written(FRAME, tmp_path)
    words = ["predict", tiny, str(table), "--text", "review", "--out", str(tmp_path / "a.csv")]
    process = started(victim.hold, tmp_path / "a.csv", tmp_path / "out")
    wait_for(process, (tmp_path / "out" / locks.LOCK).exists)
    run = CliRunner().invoke(app, words)
    assert run.exit_code == 1 and f"number {process.pid} on" in run.output and "Traceback" not in run.output
    words[0:2], words[-1] = ["finetune"], str(tmp_path / "out")
    run = CliRunner().invoke(app, [*words, "--label", "stars", "--model", tiny])
    assert run.exit_code == 1 and f"number {process.pid} on" in run.output
    process.kill()
    process.join()
    with only_file(tmp_path / "a.csv"), only_one(tmp_path / "out"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "reviews.csv"]
    assert [*(tmp_path / "out").iterdir()] == []


@pytest.mark.parametrize(("lang", "said"), [("ar", "عملية أخرى"), ("zh", "另一个进程"), ("zh-Hant", "另一個")])
def test_who_is_at_work_is_said_in_each_language(tmp_path, lang, said):
    with (
        speaking(lang),
        only_one(tmp_path),
        pytest.raises(BlockingIOError, match=rf"{said}.*{os.getpid()}"),
        only_one(tmp_path),
    ):
        pass


def test_what_a_killed_process_has_started_blocks_nobody_for_long(tmp_path):
    process = started(victim.hold_with_a_child, tmp_path)
    wait_for(process, (tmp_path / "child").exists)
    process.kill()
    process.join()
    begun = time.monotonic()
    with only_one(tmp_path):
        assert time.monotonic() - begun < locks.GRACE_SECONDS


def test_a_holder_that_left_no_note_is_refused_too(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "GRACE_SECONDS", 0.2)
    with only_one(tmp_path):
        (tmp_path / ".ftcourse.lock.json").write_text("half a no")
        with pytest.raises(BlockingIOError, match="it has not said which"), only_one(tmp_path):
            pass


@pytest.mark.parametrize("error", ["ENOSYS", "ENOTSUP", "ENOLCK"])
def test_where_nothing_can_be_locked_the_note_decides(tmp_path, monkeypatch, error):
    def flock(*_):
        raise OSError(getattr(locks.errno, error), error)

    monkeypatch.setattr("fcntl.flock", flock)
    with only_one(tmp_path), pytest.raises(BlockingIOError, match=f"number {os.getpid()} on"), only_one(tmp_path):
        pass
    note = locks.note_of(tmp_path / locks.LOCK)
    for holder in (locks.this_process() | {"began": 0}, locks.this_process() | {"host": "the one before"}):
        note.write_text(json.dumps(holder))
        with only_one(tmp_path):
            pass
    assert [*tmp_path.iterdir()] == []


def test_the_processes_of_one_launch_share_a_claim(tmp_path, monkeypatch):
    with only_one(tmp_path):
        monkeypatch.setenv("RANK", "1")
        with only_one(tmp_path):
            pass
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(BlockingIOError), only_one(tmp_path):
            pass


def test_what_killed_processes_left_is_cleared_away(call, tmp_path):
    call(FRAME)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    for name in (".part/model.safetensors", "training/checkpoint-00000001.safetensors", ".trial-1", ".ftcourse.lock"):
        (tmp_path / "out" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / name).touch()
    call(FRAME, resume=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names


def test_a_folder_in_which_nothing_was_begun_is_gone(tmp_path):
    with pytest.raises(ZeroDivisionError), claim_run(tmp_path / "out", False, {"lr": 1}) as folder:
        (folder / MARK).unlink()
        raise ZeroDivisionError
    assert not (tmp_path / "out").exists()


# kills


def ended(target, *arguments) -> float:
    """Run a process of its own to its end; the seconds that it took."""
    begun = time.monotonic()
    process = started(target, *arguments)
    process.join()
    assert process.exitcode == 0
    return time.monotonic() - begun


def killed(times: int, seconds: float, target, *arguments, done):
    """Run a process again and again, and kill it at a random moment within so many seconds, so many times.

    Where it came to its end before that, `done` looks at what it made, and takes it away. The last run ends, too.
    """
    rng, kills = random.Random(times), 0
    while kills < times:
        process = started(target, *arguments)
        process.join(rng.random() * seconds)
        process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        kills += process.exitcode == -signal.SIGKILL
        if process.exitcode == 0:
            done()
    ended(target, *arguments)
    done()


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
def test_finetune_killed_again_and_again_ends_in_the_same_bits(tiny, tmp_path, times):
    table, whole, out = written(FRAME, tmp_path), tmp_path / "whole", tmp_path / "out"
    ended(os.getpid)
    seconds = ended(victim.tune, table, tiny, whole, STEPS.epochs)
    weights, report = load_file(whole / "model.safetensors"), load_report(whole)

    def done():
        found, told = load_file(out / "model.safetensors"), load_report(out)
        assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())
        assert told.history["losses"] == report.history["losses"] and told.scores == report.scores
        assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}
        shutil.rmtree(out)

    killed(times, seconds, victim.tune, table, tiny, out, STEPS.epochs, done=done)


@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.long)])
def test_predict_killed_again_and_again_ends_in_the_same_bytes(tiny, tmp_path, times):
    pd.DataFrame({"review": [f"{text}, {n}" for n in range(100) for text in TEXTS]}).to_csv(tmp_path / "new.csv")
    ended(os.getpid)
    seconds = ended(victim.answer, tiny, tmp_path / "new.csv", tmp_path / "whole.csv")

    def done():
        assert (tmp_path / "answers.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "new.csv", "whole.csv"]
        (tmp_path / "answers.csv").unlink()

    killed(times, seconds, victim.answer, tiny, tmp_path / "new.csv", tmp_path / "answers.csv", done=done)


@pytest.mark.parametrize("times", [1, pytest.param(20, marks=pytest.mark.long)])
def test_a_test_killed_again_and_again_ends_in_the_same_report(tiny, tmp_path, times):
    texts = [f"{text}, {n}" for n in range(100) for text in TEXTS]
    frame = pd.DataFrame({"review": texts, "stars": ["LABEL_0", "LABEL_1"] * (len(texts) // 2)})
    frame.to_csv(tmp_path / "new.csv", index=False)
    ended(os.getpid)
    seconds = ended(victim.score, tiny, tmp_path / "new.csv", tmp_path / "whole")
    report = (tmp_path / "whole" / "report.html").read_bytes()

    def done():
        out = tmp_path / "out"
        assert (out / "report.html").read_bytes() == report
        assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]
        shutil.rmtree(out)

    killed(times, seconds, victim.score, tiny, tmp_path / "new.csv", tmp_path / "out", done=done)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "whole"]


# a text without a token


@pytest.mark.parametrize("size", [1, 3, 8])
def test_an_empty_text_is_answered_where_a_tokenizer_adds_nothing(size):
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(Kit().model("writer"))
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "right"
    assert tokenizer("")["input_ids"] == []
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "num_labels": 2}
    marks = {f"{mark}_token_id": tokenizer.eos_token_id for mark in ("pad", "bos", "eos")}
    config = GPT2Config(vocab_size=len(tokenizer), **marks, **sizes)
    predictor = Predictor(GPT2ForSequenceClassification(config).eval(), tokenizer, batch_size=size)
    texts = ["good food", "", "bad food, and that twice", ""]
    found = predictor.predict(texts).probabilities
    alone = np.concatenate([predictor.predict([text]).probabilities for text in texts])
    assert np.allclose(found, alone, atol=1e-6) and np.allclose(found.sum(axis=1), 1)
    assert np.allclose(predictor.predict([""] * 3).probabilities, found[1], atol=1e-6)


# Ctrl-C and full disks at each stage


def stop_at(monkeypatch, stage: str, error: BaseException) -> None:
    """Let a stage of `finetune` end with an error."""

    def stop(*_, **__):
        raise error

    places = {
        "read": "ftcourse.finetune.prepare",
        "baselines": "ftcourse.finetune.TfidfVectorizer",
        "tokenize": "ftcourse.finetune.tokenize",
        "train": "ftcourse.engine.checkpoint.save_file",
        "score": "ftcourse.finetune.Predictor.predict",
        "save": "ftcourse.engine.models.os.replace",
        "show": "ftcourse.finetune.show_report",
    }
    if stage == "save":
        monkeypatch.setattr("ftcourse.finetune.save_all", saving(save_all, stop))
    else:
        monkeypatch.setattr(places[stage], stop)


def saving(save, stop):
    """`save_all` that is stopped at its third file."""

    def saved(folder, *parts):
        moves, replace = [], os.replace

        def limited(source, target):
            moves.append(target)
            return stop() if len(moves) == 3 else replace(source, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", limited)
            save(folder, *parts)

    return saved


EARLY = {"read", "baselines", "tokenize", "train"}  # in which nothing is there yet that a next call would need
SHORT = {"read", "score", "save"}
STAGES = ("read", "baselines", "tokenize", "train", "score", "save", "show")


@pytest.mark.parametrize(
    "stage", [pytest.param(stage, marks=[] if stage in SHORT else [pytest.mark.long]) for stage in STAGES]
)
def test_ctrl_c_at_any_stage_costs_nothing(call, tiny, tmp_path, monkeypatch, stage):
    words = ["finetune", written(FRAME, tmp_path), "--text", "review", "--label", "stars", "--model", tiny]
    words = [*map(str, words), "--epochs", "1", "--out"]
    with monkeypatch.context() as patch:
        stop_at(patch, stage, KeyboardInterrupt())
        run = CliRunner().invoke(app, [*words, str(tmp_path / "out")])
    assert run.exit_code == 1 and run.output.strip().endswith("Stopped. Go on with the same command and --resume.")
    assert (tmp_path / "out").exists() == (stage not in EARLY)
    if stage == "score":  # what was trained is not trained again
        monkeypatch.setattr("ftcourse.loop.train_step", None)
    assert CliRunner().invoke(app, [*words, str(tmp_path / "out"), "--resume"]).exit_code == 0
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert MARK in left and not {"training", "work", ".part"} & left and not [name for name in left if "lock" in name]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of its own in memory, and a function that sets its size."""
    place = tmp_path / "disk"
    place.mkdir()

    def resize(size: str) -> bool:
        how = "remount," if os.path.ismount(place) else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{how}size={size}", "tmpfs", str(place)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if not resize("100m"):
        pytest.skip("mounting is not allowed here; the tests with patched functions cover it")
    yield place, resize
    subprocess.run(["umount", "--lazy", str(place)], check=True)


SIZES = ["16k", "4m", *(pytest.param(size, marks=pytest.mark.long) for size in ("4k", "64k", "1m", "3m", "5m"))]


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> tuple[Path, dict]:
    """A table, and the weights after a fine-tuning on it that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    table = written(pd.concat([FRAME, FRAME.assign(review=FRAME["review"] + " again")]), folder)
    options = {"text": "review", "label": "stars", "model": tiny, "config": STEPS}
    return table, finetune(table, **options, output_dir=folder / "out").model.state_dict()


@pytest.mark.parametrize("size", SIZES)
def test_a_disk_that_is_full_is_told_in_one_line_and_with_room_it_goes_on(call, whole, small_disk, size):
    (place, resize), (table, weights) = small_disk, whole
    resize(size)
    with pytest.raises(OSError) as error:
        call(table, config=STEPS, output_dir=place / "out")
    assert "No space left on device" in str(error.value) and "\n" not in str(error.value)
    assert "make room there" in str(error.value) or "cannot write to the folder" in str(error.value)
    resize("100m")
    resumed = call(table, config=STEPS, output_dir=place / "out", resume=True)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in resumed.model.state_dict().items())


# what a learner would meet


def test_a_table_whose_name_is_no_text_is_trained_on_and_saved(tiny, tmp_path):
    """The name comes from an old ZIP, in an encoding of its own."""
    table = tmp_path / os.fsdecode(b"\xc6\xc0.csv")
    FRAME.to_csv(table, index=False)
    out = tmp_path / "out"
    finetune(TableFile(table), text="review", label="stars", model=tiny, config=FAST, output_dir=out)
    assert load_report(out).source["name"] == "\ufffd\ufffd.csv" and "\ufffd" in load_report(out).to_html()


def without(folder: Path, name: str) -> None:
    (folder / name).unlink()


def pickled(folder: Path) -> None:
    without(folder, "model.safetensors")
    torch.save({}, folder / "pytorch_model.bin")


def stopped(folder: Path) -> None:
    """What a stopped training leaves."""
    without(folder, "config.json")
    (folder / MARK).write_text("{}")


def moved_down(folder: Path) -> None:
    """What a `Trainer` leaves in its folder."""
    shutil.copytree(folder, folder / "checkpoint-36")
    without(folder, "config.json")


def edited(**values):
    """What writes other values into a configuration."""

    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return edit


DAMAGES = {
    "gone": (shutil.rmtree, "there is no such folder"),
    "empty": (lambda folder: [path.unlink() for path in folder.iterdir()], "the folder is empty"),
    "no config": (lambda folder: without(folder, "config.json"), "config.json is missing there"),
    "half a config": (lambda folder: (folder / "config.json").write_text("{"), "config.json is damaged"),
    "no type": (lambda folder: (folder / "config.json").write_text("{}"), "does not say which architecture"),
    "another type": (edited(model_type="nonsense"), "does not know the architecture 'nonsense'"),
    "code": (edited(auto_map={"AutoModel": "code.Own"}, model_type="own"), "needs custom code"),
    "no weights": (lambda folder: without(folder, "model.safetensors"), "model.safetensors is missing there"),
    "pickle": (pickled, "only there as a pickle, pytorch_model.bin"),
    "half the weights": (
        lambda folder: os.truncate(folder / "model.safetensors", 5000),
        "model.safetensors is damaged",
    ),
    "no bytes": (lambda folder: os.truncate(folder / "model.safetensors", 0), "model.safetensors is damaged"),
    "half a tokenizer": (lambda folder: os.truncate(folder / "tokenizer.json", 50), "tokenizer.json is damaged"),
    "a list": (lambda folder: (folder / "tokenizer.json").write_text("[1]"), "tokenizer.json is damaged"),
    "odd labels": (edited(id2label="x"), "the library says: "),
    "stopped": (stopped, "call finetune as then, with --resume"),
    "checkpoints": (moved_down, "the model lies one folder down; name that one, such as "),
    "a number in quotes": (edited(hidden_size="16"), "the library says: "),
    "other shapes": (edited(hidden_size=32), "have other shapes than its config.json says"),
}
LOADERS = {
    "Predictor": Predictor,
    "start_model": lambda folder: start_model(str(folder), ["a", "b"], 1),
    "classifier": lambda folder: classifier(folder, ["a", "b"]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_told_by_what_is_wrong_with_it(tiny, tmp_path, damage):
    folder = tmp_path / "model"
    shutil.copytree(tiny, folder)
    break_it, expected = DAMAGES[damage]
    break_it(folder)
    for name, load in LOADERS.items():
        if (damage, name) == ("other shapes", "start_model") or (name == "classifier" and "tokenizer" in expected):
            continue
        said = {}
        for lang in LANGS if name == "Predictor" else ("en",):
            with speaking(lang), quiet_libraries(), pytest.raises(ValueError) as error:
                load(folder)
            said[lang] = str(error.value)
        assert expected in said["en"] and "\n" not in "".join(said.values())
        assert all(SCRIPTS[lang](text) for lang, text in said.items()) and len({*said.values()}) == len(said)


@pytest.mark.parametrize("lang", LANGS)
def test_labels_that_are_not_numbered_from_0_are_told(tiny, tmp_path, lang):
    folder = shutil.copytree(tiny, tmp_path / "model")
    edited(id2label={"1": "bad", "2": "good"}, label2id={"bad": 1, "good": 2})(folder)
    with speaking(lang), pytest.raises(ValueError, match="config.json.* 1, 2.* 0, 1") as error:
        Predictor(folder)
    assert str(folder) in str(error.value) and SCRIPTS[lang](str(error.value))


def test_names_of_labels_that_are_numbers_are_texts(tiny, tmp_path):
    folder = shutil.copytree(tiny, tmp_path / "model")
    edited(id2label={"0": 1, "1": 2}, label2id={"1": 0, "2": 1})(folder)
    assert {*Predictor(folder).predict([*"abc"]).labels} <= {"1", "2"}
    pd.DataFrame({"review": [*"abc"], "stars": [1, 2, 1]}).to_csv(tmp_path / "a.csv", index=False)
    words = [str(folder), str(tmp_path / "a.csv"), "--text", "review"]
    answered = CliRunner().invoke(app, ["predict", *words, "--out", str(tmp_path / "b.csv")])
    assert answered.exit_code == 0 and "apostrophe" not in answered.output
    assert "out of 3" in CliRunner().invoke(app, ["evaluate", *words, "--label", "stars"]).output


def greedy(model):
    """The model, whose head wants more memory than there is."""
    model.classifier.forward = lambda *_: torch.empty(2**55)
    return model


@pytest.mark.parametrize("lang", LANGS)
def test_too_little_memory_is_told_with_what_helps(tiny, lang):
    predictor, (model, data, collate) = Predictor(tiny), small_example()
    greedy(predictor.model)
    greedy(model)
    calls = [
        lambda: predictor.predict(["good"]),
        lambda: evaluate(model, data, collate=collate),
    ]
    for ask in calls:
        with speaking(lang), pytest.raises(torch.OutOfMemoryError, match="batch_size.*accumulation=2") as error:
            ask()
        assert SCRIPTS[lang](str(error.value))


@pytest.mark.parametrize("place", ["ftcourse.loop.train_step", "ftcourse.engine.precision.try_step"])
def test_too_little_memory_in_training_ends_in_one_line(place, tiny, tmp_path, monkeypatch):
    def step(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you")

    monkeypatch.setattr(place, step)
    monkeypatch.setattr("ftcourse.engine.precision.MEASURED", {})
    words = ["finetune", written(FRAME, tmp_path), "--text", "review", "--label", "stars", "--model", tiny]
    run = CliRunner().invoke(app, [*map(str, words), "--out", str(tmp_path / "out")])
    assert run.exit_code == 1 and "there is not enough memory" in run.output and "Allocator" not in run.output


WRONG = {
    "number": lambda: Predictor(3),
    "nothing": lambda: Predictor(None),
    "body": lambda: Predictor(torch.nn.Linear(2, 2)),
    "tokenizer": lambda: Predictor(small_example()[0], "encoder"),
    "batch size": lambda: Predictor("none", batch_size="8"),
    "epochs": lambda: TrainConfig(epochs="3"),
    "lr": lambda: TrainConfig(lr="fast"),
    "sampling": lambda: TrainConfig(sampling=["random"]),
    "model": lambda: train("encoder", small_example()[1], collate=list),
    "callbacks": lambda: train(*small_example()[:2], collate=small_example()[2], callbacks=print),
    "output": lambda: train(*small_example()[:2], collate=small_example()[2], output_dir=3),
    "nul": lambda: train(*small_example()[:2], collate=small_example()[2], output_dir="a\0b"),
    "start": lambda: finetune(FRAME, text="review", label="stars", model=3, output_dir="none", lang=language()),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_argument_is_answered_in_each_language(wrong):
    said = {}
    for lang in LANGS:
        with speaking(lang), pytest.raises(ValueError) as error:
            WRONG[wrong]()
        said[lang] = str(error.value)
    assert all(SCRIPTS[lang](text) for lang, text in said.items()) and len({*said.values()}) >= 3


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOENT, errno.ENAMETOOLONG])
def test_what_the_system_says_is_said_in_the_readers_language(number):
    said = []
    for lang in LANGS:
        with speaking(lang):
            said.append(reason(OSError(number, os.strerror(number))))
            assert SCRIPTS[lang](said[-1])
    assert said[0] == os.strerror(number) and len({*said}) == len(LANGS)
    told = reason(ValueError(f"Error while serializing: I/O error: ... (os error {number})"))  # by the Rust libraries
    assert told == said[0]


def test_a_library_that_a_tokenizer_needs_is_named(tiny, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="the library says: You need to install rjieba"), loading(tiny):
        raise ImportError("You need to install rjieba to use RoFormerTokenizer.")
    monkeypatch.setattr("ftcourse.engine.loading.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="pip install sentencepiece protobuf"), loading("someone/mdeberta"):
        raise ValueError("`tiktoken` is required to read a `tiktoken` file. Install it with `pip install tiktoken`.")


def test_an_empty_map_of_special_tokens_is_no_damage(tiny, tmp_path):
    folder = shutil.copytree(tiny, tmp_path / "model")
    (folder / "special_tokens_map.json").write_text("{}")
    assert Predictor(folder).predict(["good"]).labels and not wrong_tokenizer(folder)
