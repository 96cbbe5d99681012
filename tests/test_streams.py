"""Rows that come one after the other, and tables larger than memory."""

import json
import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset, IterableDataset, Value
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification, DataCollatorWithPadding

from ftcourse.data import tokenize
from ftcourse.engine import problems, streams, tables
from ftcourse.engine.cleaning import Prepared, prepare, read_rows, sort_rows
from ftcourse.engine.problems import few_rows
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, train
from tests.rows import plain_texts, rows_of, write_csv
from tests.tiny import same_weights, tiny_checkpoint

TOKENIZER = AutoTokenizer.from_pretrained(Kit().model("encoder"))
COLLATE = DataCollatorWithPadding(TOKENIZER)
PLAN = {"batch_size": 8, "lr": 1e-3, "seed": 7}


def small_model(dropout: float = 0.1) -> BertForSequenceClassification:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    drop = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return BertForSequenceClassification(BertConfig(vocab_size=len(TOKENIZER), num_labels=3, **sizes, **drop))


@pytest.fixture(scope="module")
def data() -> Dataset:
    rows = [(text or "-", ("bad", "good", "so").index(label)) for text, label in rows_of(300)]
    texts, labels = zip(*rows, strict=True)
    return tokenize(Dataset.from_dict({"text": texts, "label": labels}), TOKENIZER, max_length=32)


@pytest.fixture
def small_buffer(monkeypatch):
    """Buffers of 64 rows, so that 300 rows fill several."""
    monkeypatch.setattr(streams, "BUFFER", 64)


def stop_at(step: int):
    """A collator that is interrupted when it makes the batch of a step."""
    numbers = count(1)

    def collate(rows: list[dict]):
        if next(numbers) == step:
            raise KeyboardInterrupt
        return COLLATE(rows)

    return collate


def test_a_stream_that_fits_into_the_buffer_trains_like_a_data_set(data):
    table, stream = small_model(dropout=0), small_model(dropout=0)
    first = train(table, data, collate=COLLATE, config=TrainConfig(epochs=2, **PLAN))
    config = TrainConfig(max_steps=len(first.losses), **PLAN)
    second = train(stream, data.to_iterable_dataset(num_shards=3), collate=COLLATE, config=config)
    assert first.losses == second.losses and first.lrs == second.lrs and first.steps == second.steps
    assert same_weights(table, stream)


def test_each_row_is_read_once_a_round_in_another_order_each_time(data, small_buffer):
    numbered = data.select_columns(["input_ids"]).add_column("labels", [n % 3 for n in range(300)])
    numbered = numbered.map(lambda row, n: {"input_ids": [n, *row["input_ids"][1:]]}, with_indices=True)
    loader = streams.StreamLoader(numbered.to_iterable_dataset(), small_model(), COLLATE, TrainConfig(**PLAN))
    rounds = [[batch["input_ids"][:, 0].tolist() for batch in loader] for _ in range(2)]
    orders = [[row for batch in batches for row in batch] for batches in rounds]
    assert [sorted(order) for order in orders] == [[*range(300)]] * 2 and orders[0] != orders[1]
    assert all(set(order[:64]) == {*range(64)} and order[:64] != [*range(64)] for order in orders)
    lengths = [len(ids) for ids in numbered["input_ids"][:]]
    kept = sum(lengths[row] for batch in rounds[0] for row in batch)
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in rounds[0])
    plain = sum(len(part) * max(part) for part in (lengths[n : n + 8] for n in range(0, 300, 8)))
    assert padded - kept < 0.75 * (plain - kept)


@pytest.mark.parametrize(("stop", "own_shuffle"), [(5, False), (41, False), (41, True)])
def test_a_training_goes_on_at_the_very_row(data, small_buffer, tmp_path, stop, own_shuffle):
    def stream() -> IterableDataset:
        made = data.to_iterable_dataset(num_shards=4)
        return made.shuffle(seed=3, buffer_size=20) if own_shuffle else made

    config = TrainConfig(max_steps=45, save_steps=3, **PLAN)
    whole, halves = small_model(), small_model()
    expected = train(whole, stream(), collate=COLLATE, config=config)
    how = {"config": config, "output_dir": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        train(halves, stream(), collate=stop_at(stop), **how)
    halves = small_model()
    history = train(halves, stream(), collate=COLLATE, resume=True, **how)
    assert history.losses == expected.losses and history.steps == expected.steps == [38, 45]
    assert same_weights(whole, halves)


def test_a_stream_is_set_back_and_not_read_again_from_its_start(data, small_buffer, tmp_path):
    read = []

    def stream() -> IterableDataset:
        made = data.to_iterable_dataset()
        return made.map(lambda row, number: read.append(number) or row, with_indices=True, features=made.features)

    config = TrainConfig(max_steps=36, save_steps=1, **PLAN)
    how = {"config": config, "output_dir": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        train(small_model(), stream(), collate=stop_at(30), **how)
    read.clear()
    train(small_model(), stream(), collate=COLLATE, resume=True, **how)
    later = read[read.index(max(read[:40])) + 1 :]
    assert min(later) >= 192 and max(later) == 299


def test_other_rows_are_told_from_those_of_before(data, small_buffer, tmp_path):
    config = TrainConfig(max_steps=30, save_steps=1, **PLAN)
    how = {"config": config, "output_dir": tmp_path / "run"}
    with pytest.raises(KeyboardInterrupt):
        train(small_model(), data.to_iterable_dataset(), collate=stop_at(20), **how)
    other = Dataset.from_list([*data.select(range(100)), *data.select(range(120, 300))], features=data.features)
    with pytest.raises(ValueError, match="from row 128 on, train_data gives other rows than when the training stopped"):
        train(small_model(), other.to_iterable_dataset(), collate=COLLATE, resume=True, **how)


@pytest.mark.parametrize("process", [0, 1])
def test_two_processes_have_as_many_batches_and_all_rows_between_them(data, small_buffer, process):
    odd = data.select(range(133)).to_iterable_dataset()
    config = TrainConfig(**PLAN)
    own, other = (
        [*streams.StreamLoader(odd, small_model(), COLLATE, config, process=number, processes=2)]
        for number in (process, 1 - process)
    )
    assert len(own) == len(other) == 9
    assert sum(len(batch["labels"]) for batch in own + other) == 133
    assert {len(batch["labels"]) for batch in own[:-1]} == {8}


LAUNCHED = """
import sys
from datasets import Dataset, IterableDataset
from hypothesis import given
from hypothesis import strategies as st
from tests.test_streams import COLLATE, PLAN, small_model
from ftcourse.engine import streams, tables
from ftcourse.loop import TrainConfig, train
streams.BUFFER = 64
data, model = Dataset.load_from_disk(sys.argv[1]), small_model(dropout=0)
config = TrainConfig(max_steps=12, **(PLAN | {"batch_size": int(sys.argv[2])}))
history = train(model, data.to_iterable_dataset(), collate=COLLATE, config=config)
if int(__import__("os").environ.get("RANK", 0)) == 0:
    model.save_pretrained(sys.argv[3])
"""


@pytest.mark.long
def test_two_processes_end_in_the_weights_of_one(data, tmp_path):
    data.select(range(133)).save_to_disk(tmp_path / "rows")
    script = tmp_path / "launched.py"
    script.write_text(LAUNCHED)
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    for call, size, out in ((run, 8, "two"), ([sys.executable, str(script)], 16, "one")):
        subprocess.run([*call, tmp_path / "rows", str(size), tmp_path / out], check=True, cwd=Path.cwd())
    one, two = (BertForSequenceClassification.from_pretrained(tmp_path / name) for name in ("one", "two"))
    pairs = zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    assert all(torch.allclose(first, second, atol=1e-5) for first, second in pairs)


def test_max_steps_decides_for_a_data_set_too(data):
    history = train(small_model(), data, collate=COLLATE, config=TrainConfig(epochs=1, max_steps=50, **PLAN))
    assert len(history.losses) == 50 and history.steps == [38, 50] and history.lrs[-1] == pytest.approx(1e-3 / 50)
    history = train(small_model(), data, data, collate=COLLATE, config=TrainConfig(max_steps=3, **PLAN))
    assert len(history.losses) == 3 and len(history.metrics) == 1


def test_a_stream_without_an_end_and_without_known_columns_is_trained_on():
    def endless():
        for number in count():
            yield {"input_ids": [2, number % 50, 3], "label": number % 3, "note": "x"}

    stream = IterableDataset.from_generator(endless).map(lambda row: {**row, "more": 1})
    assert stream.features is None
    config = TrainConfig(max_steps=5, precision="auto", sampling="random", **PLAN)
    history = train(small_model(), stream, collate=COLLATE, config=config)
    assert len(history.losses) == 5 and history.steps == [5]


def test_wrong_calls_are_answered_in_words(data, small_buffer):
    stream, once = data.to_iterable_dataset(), iter([*data])
    wrong = data.select(range(200)).to_list() + [{**data[0], "labels": 9}]
    long = data.select(range(70)).to_list() + [{**data[0], "input_ids": [2, 99_999, 3]}]
    empty = IterableDataset.from_generator(lambda: iter(()))
    calls = {
        r"how many rows it has is not known; say how many steps to make, such as TrainConfig\(max_steps=1000\)": (
            stream,
            {"max_steps": None},
        ),
        "max_steps must be a whole number, 1 or more; got 0": (stream, {"max_steps": 0}),
        "class_weights needs all labels before the first step": (stream, {"class_weights": "balanced"}),
        "train_data has no column 'input_ids'": (stream.remove_columns("input_ids"), {}),
        r"train_data\['labels'\]\[200\] is 9; expected a label from 0 to 2": (
            Dataset.from_list(wrong).to_iterable_dataset(),
            {},
        ),
        r"train_data\['input_ids'\]\[70\] has the id 99999": (Dataset.from_list(long).to_iterable_dataset(), {}),
        "train_data has no rows": (empty, {}),
        "train_data gave no rows in round 2": (IterableDataset.from_generator(lambda: once), {"max_steps": 60}),
    }
    for words, (rows, options) in calls.items():
        with pytest.raises(ValueError, match=words):
            train(small_model(), rows, collate=COLLATE, config=TrainConfig(**({"max_steps": 40} | PLAN | options)))
    with pytest.raises(ValueError, match="valid_data must be a datasets.Dataset; got a IterableDataset"):
        train(small_model(), data, stream, collate=COLLATE)


CELLS = {
    "words": ["good", "bad", None],
    "numbers": [1, 2, 3],
    "halves": [1, 2.5, None, 4.0],
    "truth": [True, False],
    "lists": [["food", "price"], ["food"], ["price"]],
    "mixed": [1, "1", 2.0],
    "large": [2**60, 1, 2],
    "none": [None, []],
}


@pytest.mark.parametrize("cells", CELLS.values(), ids=CELLS)
def test_json_lines_are_the_same_rows_as_when_they_are_read_at_once(tmp_path, monkeypatch, cells):
    records = [
        {"review": {"text": f"visit {n}\n\u2028"}, "stars": cells[n % len(cells)], "n": n}
        if n % 7
        else {"stars": cells[n % len(cells)]}
        for n in range(30)
    ]
    path = tmp_path / "a.jsonl"
    path.write_text("\ufeff\n" + "\n\n".join(map(json.dumps, records)), encoding="utf-8")
    ways = []
    for lines in (tables.has_lines, lambda *_: False):
        monkeypatch.setattr(tables, "has_lines", lines)
        table, _ = tables.open_table(path, ["review.text", "stars"], "en", str(tmp_path))
        rows, _ = read_rows(path, ["review.text", "stars"], "en", str(tmp_path / "work"))
        ways.append((isinstance(table, Dataset), rows[:]))
    (streamed, first), (_, second) = ways
    assert streamed == (cells not in (CELLS["mixed"], CELLS["large"], CELLS["none"])) and first == second


def test_json_lines_that_are_none_are_named_by_their_line(tmp_path):
    path = tmp_path / "a.jsonl"
    for line, words in (("{", "line 3"), ("[1]", "no table"), ('{"text": "\\ud800"}', "row 2, column 'text'")):
        path.write_text('{"text": "a"}\n\n' + line + '\n{"text": "b"}\n')
        with pytest.raises(ValueError, match=words):
            plain_texts(path, ["text"], "en", str(tmp_path / "work"))


def test_parts_of_large_tables_are_the_same_rows_in_the_order_of_the_table(tmp_path, monkeypatch):
    """A table without near-doubles is split at random; a large part is written from front to back."""
    numbers = [n for n in range(200) if n % 9]
    frame = pd.DataFrame({"text": [f"visit {n}" for n in numbers], "label": [n % 2 for n in numbers]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    small = prepare(tmp_path / "a.csv", ["text", "label"], "en", 0.25, 0, str(tmp_path / "small"))
    monkeypatch.setattr(tables, "LARGE", 50)
    monkeypatch.setattr(tables, "AT_ONCE", 7)
    large = prepare(tmp_path / "a.csv", ["text", "label"], "en", 0.25, 0, str(tmp_path / "large"))
    order = large.train["text"][:]
    assert order == [text for text in frame["text"] if text in {*order}] != small.train["text"][:]
    assert large.valid[:] == small.valid[:] and len(order) == len(small.train) == 133
    assert {*zip(*large.train[:].values(), strict=True)} == {*zip(*small.train[:].values(), strict=True)}
    assert all(label == int(text.split()[1]) % 2 for text, label in zip(*large.train[:].values(), strict=True))


def test_a_small_part_of_a_large_table_is_taken_from_parts_of_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "AT_ONCE", 10)
    texts, labels = [*map(str, range(2000))], np.arange(2000)
    rows = Dataset.from_dict({"text": texts, "label": labels})
    places, read, real = np.random.default_rng(0).permutation(2000)[:50], [], Dataset.__getitem__
    with monkeypatch.context() as patch:
        patch.setattr(Dataset, "__getitem__", lambda rows, key: read.append(found := real(rows, key)) or found)
        part = tables.labelled(rows, places, labels[places], Value("int64"), str(tmp_path))
    assert part[:] == {"text": [texts[place] for place in places], "label": places.tolist()}
    assert read and max(map(len, read)) <= 100


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-1, 3)), max_size=40))
def test_rows_are_sorted_as_pandas_does(rows):
    keys, numbers = np.array(rows, dtype=np.int64).reshape(-1, 2).T
    found, left = sort_rows(keys.astype(np.uint64), numbers), pd.DataFrame({"key": keys, "number": numbers})
    for why, test in (
        ("no_text", lambda rows: rows["key"] == 0),
        ("no_label", lambda rows: rows["number"] < 0),
        ("duplicate", lambda rows: rows.duplicated()),
        ("contradiction", lambda rows: rows.duplicated("key", keep=False)),
        ("rare", lambda rows: rows.groupby("number")["number"].transform("size") < 2),
    ):
        out = test(left).to_numpy(dtype=bool)
        assert found[why].tolist() == left.index[out].tolist()
        left = left[~out]
    assert found["kept"].tolist() == left.index.tolist()


def test_baselines_learn_from_as_many_rows_as_word_counts_have_room_for(monkeypatch):
    texts, labels = [f"visit {n}" for n in range(200)], [0, 1] * 99 + [1, 2]
    rows = Dataset.from_dict({"text": texts, "label": labels})
    prepared = Prepared(rows, rows, ["bad", "good", "so"], {}, 200, {})
    assert few_rows(prepared, 0) is prepared and not prepared.notes
    monkeypatch.setattr(problems, "BASELINE_ROWS", 50)
    seen = []
    way = problems.way_for(prepared, problems.Way(None, lambda found, *_: seen.append(found), None), None, None)
    way.baselines(prepared, "en", 0)
    assert 50 <= len(seen[0].train) <= 53 and {*seen[0].train["label"][:]} == {0, 1, 2} and seen[0].valid is rows
    assert prepared.notes == [{"key": "sampled", "rows": len(seen[0].train), "of": 200}]
    monkeypatch.setattr(problems, "BASELINE_CHARACTERS", 200)
    assert len("".join(few_rows(prepared, 0).train["text"][:])) <= 200 + 3 * len("visit 199")


PASS = """
import sys
from pathlib import Path
from transformers import AutoModelForSequenceClassification
from ftcourse.data import tokenize
from ftcourse.engine.cleaning import prepare
from ftcourse.loop import TrainConfig, train
from tests.rows import memory, write_jsonl
from tests.test_streams import COLLATE, PLAN, TOKENIZER, small_model
for rows in (6000, 60000):
    folder = Path(sys.argv[1], str(rows))
    folder.mkdir()
    Path("/proc/self/clear_refs").write_text("5")
    parts = prepare(write_jsonl(folder / "a.jsonl", rows), ["review", "stars"], "en", 0.01, 0, str(folder))
    data = tokenize(parts.train, TOKENIZER, parts.columns, 64)
    train(small_model(), data, collate=COLLATE, config=TrainConfig(max_steps=3, **PLAN))
    print("peak", rows, len(data), memory()["VmHWM"])
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks of memory are asked of Linux")
def test_ten_times_the_rows_take_hardly_more_memory(tmp_path):
    """From JSON lines: a row may take 500 bytes, with all that is mapped from files: keys, places, texts and tokens."""
    run = subprocess.run([sys.executable, "-c", PASS, tmp_path], capture_output=True, text=True, cwd=Path.cwd())
    assert run.returncode == 0, run.stderr
    found = [line.split()[1:] for line in run.stdout.splitlines() if line.startswith("peak")]
    (_, _, few), (rows, used, many) = [map(int, line) for line in found]
    assert used > 0.9 * rows and many - few < 500 * 54_000 / 2**20 + 10, found


WHOLE = """
import json, sys, threading, time
from ftcourse.finetune import finetune
from ftcourse.loop import TrainConfig
from tests.rows import memory
started, own = time.perf_counter(), [0]
def watch():
    while True:
        now = memory()
        own[0] = max(own[0], now["RssAnon"])
        print(f"{time.perf_counter() - started:.0f}", now, file=sys.stderr, flush=True)
        time.sleep(1)
threading.Thread(target=watch, daemon=True).start()
table, model, out = sys.argv[1:]
plan = TrainConfig(batch_size=16, max_steps=200, save_steps=100)
finetune(table, text="review", label="stars", model=model, validation=0.001, output_dir=out, config=plan)
seconds = json.loads(open(out + "/report.json").read())["seconds"]
print("found", json.dumps({"peak": memory()["VmHWM"], "own": own[0], "seconds": seconds, "cpu": time.process_time()}))
"""


@pytest.mark.long
def test_five_million_rows_are_cleaned_and_one_pass_begun_within_two_gigabytes(tmp_path):
    rows = int(os.environ.get("FTCOURSE_ROWS", 5_000_000))
    table, model = write_csv(tmp_path / "table.csv", rows), tiny_checkpoint(tmp_path / "model")
    with open(tmp_path / "log", "w+") as log:
        call = [sys.executable, "-c", WHOLE, table, model, tmp_path / "out"]
        run = subprocess.run(call, stdout=subprocess.PIPE, stderr=log, text=True, cwd=Path.cwd())
        log.seek(0)
        assert run.returncode == 0, log.read()[-3000:]
    found = json.loads(next(line for line in run.stdout.splitlines() if line.startswith("found"))[6:])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    print(rows, found)
    assert report["read"] == rows and sum(part["train"] for part in report["labels"]) > 0.94 * rows
    assert len(report["history"]["losses"]) == 200 and found["peak"] < 2000, found
