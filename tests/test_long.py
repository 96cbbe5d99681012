"""Texts longer than a model reads at once: its own limit, another one, windows; and rows that it could not read."""

import json
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BartConfig,
    BartForSequenceClassification,
    DataCollatorWithPadding,
    EvalPrediction,
    GPT2Config,
    GPT2ForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
    XLNetConfig,
    XLNetForSequenceClassification,
    pipeline,
)
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.data import tokenize
from ftcourse.engine import forward, tokenizing, windows
from ftcourse.engine.batches import parts_of
from ftcourse.engine.columns import ROW_WEIGHT
from ftcourse.engine.inputs import bad_row, check_inputs, position_limit
from ftcourse.engine.models import load_classifier, load_tokenizer, most_tokens, start_model
from ftcourse.engine.reading import by_text
from ftcourse.engine.report import load_report
from ftcourse.engine.weights import balanced_weights, weighted_loss
from ftcourse.engine.windows import TEXT, pieces, windowed, windows_of
from ftcourse.finetune import accuracy_f1, finetune
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, evaluate, train
from ftcourse.trainer import fit_trainer
from tests.tiny import FAST, tiny_checkpoint

ROAD = "we came by the road and sat at a table "
WORDS = ["good", "food", "road", "\u0637\u0639\u0627\u0645", "\u597d\u5403", "x" * 30, "soup,", "\U0001f35c", "\n"]
TINY = {"n_embd": 16, "n_layer": 1, "n_head": 2}
TOKENIZER = AutoTokenizer.from_pretrained(Kit().model("encoder"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def wide(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("wide"), 1024)


def table(words: int, rows: int = 40, every: int = 1) -> pd.DataFrame:
    """Reviews of about so many words, whose last ones decide; `every` other one is long, the rest is short."""
    road = ROAD * (words // 10)
    texts = [f"{road if n % every == 0 else ''}{('good', 'bad')[n % 2]} food, visit {n // 2}" for n in range(rows)]
    return pd.DataFrame({"review": texts, "stars": ["good", "bad"] * (rows // 2)})


def tuned(model, frame, folder, **options) -> Predictor:
    call = {"text": "review", "label": "stars", "model": model, "config": FAST, "output_dir": folder}
    return finetune(frame, **(call | options))


def louder(predictor: Predictor, folder) -> Predictor:
    """The same with larger weights, so that a word more or less shows."""
    with torch.no_grad():
        for weight in predictor.model.parameters():
            weight.copy_(torch.randn_like(weight) * 0.3)
    predictor.model.save_pretrained(folder)
    return predictor


@pytest.fixture(scope="module")
def read_in_windows(tiny, tmp_path_factory):
    """A folder with a model trained in windows, on reviews of which every other two are long."""
    folder = tmp_path_factory.mktemp("windows") / "out"
    frame = pd.concat([table(100, 20), table(10, 40).tail(20)])
    tuned(tiny, frame, folder, windows=True, validation=0.25)
    return folder


def test_the_models_own_limit_is_used_and_the_last_word_is_read(wide, tmp_path):
    frame = table(600)
    predictor = tuned(wide, frame, tmp_path / "out")
    assert predictor.max_length == 1024 and predictor.tokenizer.model_max_length == 1024
    report = load_report(tmp_path / "out")
    assert report.cut == {"rows": 0, "of": 40, "length": 1024, "most": 1024}
    assert "reads 1024 tokens of a text at once. No text" in report.card() and "1024" in report.to_html()
    good, bad = predictor.predict(frame["review"].tolist()[:2]).probabilities
    assert not np.array_equal(good, bad)
    with pytest.raises(ValueError, match="max_length is 1025; this model reads from 5 to 1024 tokens at once"):
        Predictor(tmp_path / "out", max_length=1025)


def test_another_limit_is_kept_in_the_folder_and_told(wide, tmp_path):
    frame = table(600)
    louder(tuned(wide, frame, tmp_path / "out", max_length=512), tmp_path / "out")
    predictor, texts = Predictor(tmp_path / "out"), frame["review"].tolist()[:2]
    assert predictor.max_length == 512 and not predictor.windows
    good, bad = predictor.predict(texts).probabilities
    assert np.array_equal(good, bad)
    piped = pipeline("text-classification", model=str(tmp_path / "out"), truncation=True, top_k=None)(texts)
    scores = [{one["label"]: one["score"] for one in row}["good"] for row in piped]
    assert np.allclose(scores, [good[1], bad[1]], atol=1e-5)
    report = load_report(tmp_path / "out")
    assert report.cut == {"rows": 40, "of": 40, "length": 512, "most": 1024}
    assert "--max-length 1024" in str(report) and "--windows" in str(report)
    wider = Predictor(tmp_path / "out", max_length=1024).predict(texts).probabilities
    assert not np.array_equal(*wider)


def test_a_few_long_texts_get_no_advice(tiny, tmp_path):
    tuned(tiny, table(100, 60, every=30), tmp_path / "out")
    report = load_report(tmp_path / "out")
    assert report.cut["rows"] == 2 and "fill the 64 tokens" in str(report) and "--windows" not in str(report)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_length": 1024}, "max_length is 1024; this model reads from 5 to 64 tokens at once; choose a number"),
        ({"max_length": 2}, "max_length must be a whole number, 8 or more; got 2"),
        ({"max_length": "128"}, "max_length must be a whole number, 8 or more; got '128'"),
        ({"max_length": True}, "max_length must be a whole number"),
        ({"windows": "yes"}, "windows is 'yes'; expected True, to have long texts read in windows"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(tiny, tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        tuned(tiny, table(10), tmp_path / "out", **options)
    if "windows" in options:
        with pytest.raises(ValueError, match=said):
            Predictor(Kit().model("stars"), **options)


def test_where_nobody_says_a_limit_there_is_the_usual_one(tmp_path):
    config = GPT2Config(vocab_size=8000, n_positions=1024, **TINY)
    GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(Kit().model("writer")).save_pretrained(tmp_path)
    assert start_model(str(tmp_path), ["a", "b"], 0)[1].model_max_length == 1024
    assert start_model(str(tmp_path), ["a", "b"], 0, max_length=100)[1].model_max_length == 100


# windows


texts = st.lists(st.sampled_from(WORDS), max_size=120).map(" ".join)


def whole(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def found_windows(texts, max_length) -> list[list[list[int]]]:
    """The ids in all windows of each text."""
    found = [[] for _ in texts]
    for numbers, encoded in windows_of(texts, TOKENIZER, max_length):
        for number, ids in zip(numbers, encoded["input_ids"], strict=True):
            found[number].append(ids)
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(texts, min_size=1, max_size=4), st.integers(8, 70))
def test_windows_of_a_text_overlap_and_joined_they_are_its_tokens(texts, max_length):
    stride = (max_length - 2) // 4
    for text, found in zip(texts, found_windows(texts, max_length), strict=True):
        assert all(len(ids) <= max_length for ids in found) and {ids[0] for ids in found} == {TOKENIZER.cls_token_id}
        inner = [ids[1:-1] for ids in found]
        assert inner[0] + [one for ids in inner[1:] for one in ids[stride:]] == whole(text)
        assert all(one[-stride:] == other[:stride] for one, other in zip(inner, inner[1:], strict=False) if stride)


@settings(deadline=None, max_examples=40)
@given(st.lists(texts, min_size=1, max_size=3), st.integers(8, 70), st.integers(20, 200))
def test_every_token_of_a_text_in_pieces_is_in_a_window(texts, max_length, size):
    texts = [" ".join(text.split()) for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "PIECE", size)
        patch.setattr(windows, "CHUNK", 2 * size)
        patch.setattr(pieces, "__defaults__", (size,))
        for text, found in zip(texts, found_windows(texts, max_length), strict=True):
            assert "".join(pieces(text)) == text and all(0 < len(part) <= size for part in pieces(text) if text)
            seen = {one for ids in found for one in ids[1:-1]}
            assert all(len(ids) <= max_length for ids in found) and {*whole(text)} <= seen


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4), st.integers(8, 70))
def test_of_a_pair_the_longer_text_is_read_in_windows_and_the_other_is_in_each(pairs, max_length):
    room = max_length - 3
    for (first, second), found in zip(pairs, found_windows(pairs, max_length), strict=True):
        longer, other = (second, first) if len(second) >= len(first) else (first, second)
        assert found and all(len(ids) <= max_length for ids in found)
        seen = {one for ids in found for one in ids}
        assert {*whole(longer)} <= seen
        beginnings = [whole(other[:number]) for number in range(len(other) + 1)]
        fits = [ids for ids in beginnings if ids == whole(other)[: len(ids)] and len(ids) <= max(room // 2 - 2, 0)]
        start = " ".join(map(str, max(fits, key=len)))  # of whole characters, some of which are many tokens
        assert all(start in " ".join(map(str, ids)) for ids in found)


def test_a_character_of_many_tokens_leaves_room_in_a_pair():
    found = found_windows([("\ufdfa", "good " * 20), ("bad " * 20, "\ufdfa" * 9)], 8)
    assert all(len(ids) <= 8 for one in found for ids in one) and all(len(one) > 3 for one in found)


def test_one_answer_a_text_in_order_whatever_its_length(tiny, monkeypatch):
    model = AutoModelForSequenceClassification.from_pretrained(tiny)
    predictor = Predictor(model, TOKENIZER, windows=True)
    texts = [ROAD * 40 + "good", "good", "", ROAD * 8, "bad food", ROAD * 70]
    alone = np.concatenate([predictor.predict([text]).probabilities for text in texts])
    assert np.allclose(predictor.predict(texts).probabilities, alone, atol=1e-6)
    monkeypatch.setattr(windows, "CHUNK", 400)
    monkeypatch.setattr(forward, "CHARACTERS", 1000)
    assert np.allclose(predictor.predict(texts).probabilities, alone, atol=1e-6)
    expected = [forward.encoded_probabilities(predictor, {"input_ids": ids}) for ids in found_windows(texts, 64)]
    assert np.allclose(alone, [one.mean(axis=0) for one in expected], atol=1e-5)
    short = [text for text in texts if len(text) < 20]
    cut = Predictor(model, TOKENIZER, windows=False)
    assert np.allclose(cut.predict(short).probabilities, predictor.predict(short).probabilities, atol=1e-6)
    pairs = predictor.predict(texts, [*reversed(texts)]).probabilities
    assert np.allclose(pairs[0], predictor.predict(texts[:1], texts[-1:]).probabilities[0], atol=1e-6)


def test_a_folder_remembers_its_windows(read_in_windows, tmp_path):
    predictor = Predictor(read_in_windows)
    assert predictor.windows and not Predictor(read_in_windows, windows=False).windows
    texts = [ROAD * 9 + "good food", ROAD * 9 + "bad food"]
    assert not np.array_equal(*predictor.predict(texts).probabilities)
    assert np.array_equal(*Predictor(read_in_windows, windows=False).predict(texts).probabilities)
    report = load_report(read_in_windows)
    assert report.cut["rows"] == 20 and report.cut["of"] == 40 and report.cut["windows"] == 60
    assert {"read", "cut", "valid"} <= {*report.cut} and report.cut["valid"] < 10
    assert "20 of the 40 texts are longer" in str(report) and "where they are cut off" in report.to_html()
    assert "Predictor" in report.card() and "pipeline(" not in report.card()
    for lang in ("ar", "zh", "zh-Hant"):
        report.lang = lang
        assert "windows" not in report.cut_text() and "64" in report.cut_text()
    right = report.history["metrics"][-1]["accuracy"] * report.size("valid")
    assert right == pytest.approx(report.right["tuned"])


def test_windows_on_the_command_line(read_in_windows, tiny, tmp_path):
    frame = table(100, 40, every=3)
    frame.to_csv(tmp_path / "a.csv", index=False)

    def ask(*words, code=0):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == code, (result.output, result.exception)
        return result.output

    words = ["finetune", tmp_path / "a.csv", "--text", "review", "--label", "stars", "--model", tiny, "--epochs", 1]
    ask(*words, "--out", tmp_path / "out", "--max-length", 32, "--windows")
    predictor = louder(Predictor(tmp_path / "out"), tmp_path / "out")
    assert predictor.windows and predictor.max_length == 32
    assert "begun with windows=True" in ask(*words, "--out", tmp_path / "out", "--max-length", 32, "--resume", code=2)
    words = [
        "predict",
        tmp_path / "out",
        tmp_path / "a.csv",
        "--text",
        "review",
        "--out",
        tmp_path / "b.csv",
        "--force",
    ]
    answers = {}
    for how in ([], ["--no-windows"], ["--max-length", "64"]):
        ask(*words, *how)
        answers[" ".join(how)] = pd.read_csv(tmp_path / "b.csv")["probability"].tolist()
    assert len({str(one) for one in answers.values()}) == 3
    expected = predictor.predict(frame["review"].tolist()).probabilities.max(axis=1)
    assert np.allclose(answers[""], expected, atol=1e-4)
    assert "max_length is 65" in ask(*words, "--max-length", 65, code=2)


def test_a_book_in_one_cell_is_read_with_little_memory(tiny, monkeypatch):
    monkeypatch.setattr(windows, "CHUNK", 10_000)
    monkeypatch.setattr(pieces, "__defaults__", (10_000,))
    predictor = Predictor(AutoModelForSequenceClassification.from_pretrained(tiny), TOKENIZER, windows=True)
    book = ROAD * 5000
    tracemalloc.start()
    try:
        found = predictor.predict([book, "good"]).probabilities
        cut = Predictor(predictor.model, TOKENIZER).predict([book, "good"]).probabilities
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert np.isfinite(found).all() and peak < 4e6
    assert np.allclose(cut[0], Predictor(predictor.model, TOKENIZER).predict([ROAD * 40]).probabilities[0], atol=1e-6)


GAP = " " * 5000 + "good food " * 100


@pytest.mark.parametrize(
    "texts", [[GAP, "bad"], [("ok" + GAP, "bad " * 100)], [("bad " * 100, "ok" + GAP), ("a", "b")]]
)
def test_texts_of_blanks_are_cut_off_where_their_words_are(texts):
    assert (
        tokenizing.cut_off(texts, TOKENIZER, 16)["input_ids"]
        == TOKENIZER(texts, truncation=True, max_length=16)["input_ids"]
    )


def test_of_pairs_of_books_only_the_beginnings_are_looked_at(monkeypatch):
    lengths, encode = [], tokenizing.encode

    def noted(tokenizer, texts, max_length):
        lengths.extend(len(text) for text in texts[0])
        return encode(tokenizer, texts, max_length)

    monkeypatch.setattr(tokenizing, "encode", noted)
    start, book = "good food " * 20, "good food " * 5000
    expected = TOKENIZER([(start, start)], truncation=True, max_length=16)["input_ids"]
    assert tokenizing.cut_off([(book, book)], TOKENIZER, 16)["input_ids"] == expected and max(lengths) < 3000


# training in windows


def test_each_text_counts_as_much_as_another_and_its_windows_keep_its_label():
    rows = Dataset.from_pandas(table(200, 8, every=2)).rename_columns({"review": "text", "stars": "label"})
    rows = rows.class_encode_column("label").add_column("id", range(8))
    found = windowed(rows, TOKENIZER, ["text"], 64)
    numbers, weights = np.array(found[TEXT][:]), np.array(found[ROW_WEIGHT][:])
    assert [*np.unique(numbers)] == [*range(8)] and (np.diff(numbers) >= 0).all()
    assert np.allclose(np.bincount(numbers, weights), len(found) / 8) and weights.mean() == pytest.approx(1)
    assert found["labels"][:] == [rows["label"][number] for number in numbers]
    assert {*found.column_names} == {*tokenize(rows.remove_columns("id"), TOKENIZER).column_names, TEXT, ROW_WEIGHT}
    few = windowed(rows, TOKENIZER, ["text"], 16, most=3)
    assert np.bincount(few[TEXT][:]).tolist() == [3, 1] * 4
    first, last = few["input_ids"][0], few["input_ids"][2]
    assert whole("we came")[0] in first and whole("visit")[0] in last


def test_weights_of_rows_in_the_loss():
    logits, labels, rows = torch.randn(4, 3), torch.tensor([0, 1, 2, 2]), torch.tensor([0.5, 0.5, 1.5, 1.5])
    each = F.cross_entropy(logits, labels, reduction="none")
    assert torch.allclose(weighted_loss(logits, labels, None, rows), (each * rows).sum() / 4)
    ones, weights = torch.ones(4), torch.tensor([2.0, 1.0, 0.5])
    assert torch.allclose(weighted_loss(logits, labels, weights, ones), weighted_loss(logits, labels, weights))
    several, pairs = (torch.rand(4, 3) > 0.5).float(), torch.rand(2, 3)
    assert torch.allclose(weighted_loss(logits, several, pairs, ones), weighted_loss(logits, several, pairs))
    plain = F.binary_cross_entropy_with_logits(logits, several)
    assert torch.allclose(weighted_loss(logits, several, None, ones), plain)
    numbers = torch.rand(4)
    assert torch.allclose(weighted_loss(logits[:, :1], numbers, None, ones), F.mse_loss(logits[:, 0], numbers))
    counted = balanced_weights(np.array([0, 0, 0, 1]), 2, np.array([1 / 3, 1 / 3, 1 / 3, 1]))
    assert counted.tolist() == pytest.approx([1.0, 1.0])
    several = np.array([[1.0], [1.0], [0.0]])
    assert balanced_weights(several, 1, np.array([0.5, 0.5, 1])).flatten().tolist() == pytest.approx([1.0, 1.0])


def test_a_training_in_windows_is_that_of_weighted_rows(tiny):
    rows = Dataset.from_dict({"text": [ROAD * 20 + "good", "bad", "good", ROAD * 9], "label": [1, 0, 1, 0]})
    data, collate = windowed(rows, TOKENIZER, ["text"], 64), DataCollatorWithPadding(TOKENIZER)

    def losses(data):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=2, hidden_dropout_prob=0.0)
        config = TrainConfig(epochs=1, batch_size=len(data), sampling="random")
        return train(model, data, data, collate=collate, config=config).losses, model

    (first,), model = losses(data)
    (second,), _ = losses(data.remove_columns(ROW_WEIGHT))
    assert first != pytest.approx(second)
    assert evaluate(model, data, collate=collate)["loss"] > 0


def test_a_stopped_training_in_windows_ends_in_the_same_weights(tiny, tmp_path):
    options, asked = {"windows": True, "config": TrainConfig(epochs=2, batch_size=8, lr=5e-3, save_steps=2)}, []

    def stop(prediction):
        asked.append(len(prediction.label_ids))
        raise KeyboardInterrupt

    frame = table(100, 40, every=3)
    with pytest.raises(KeyboardInterrupt):
        tuned(tiny, frame, tmp_path / "out", metrics=stop, **options)
    assert asked == [4]
    resumed = tuned(tiny, frame, tmp_path / "out", resume=True, **options)
    straight = tuned(tiny, frame, tmp_path / "whole", **options)
    pairs = zip(resumed.model.state_dict().values(), straight.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("kind", ["several", "number", "pair", "weights"])
def test_windows_suit_all_problems(tiny, tmp_path, kind):
    frame, options = table(100, 40, every=3), {"windows": True, "validation": 0.25}
    if kind == "several":
        frame["stars"] = frame["stars"].map({"good": "food;good", "bad": "food"})
    elif kind == "number":
        frame, options = frame.assign(stars=np.arange(40) / 2), options | {"regression": True}
    elif kind == "weights":
        options["config"] = TrainConfig(epochs=1, batch_size=16, class_weights="balanced")
    else:
        frame, options = frame.assign(title="visit"), options | {"text": ["title", "review"]}
    predictor = tuned(tiny, frame, tmp_path / "out", **options)
    report = load_report(tmp_path / "out")
    assert predictor.windows and report.cut["rows"] == 14 and report.cut["valid"] > 0
    assert ("off by" if kind == "number" else "all labels right" if kind == "several" else "right in") in str(report)
    name = {"several": "all_right", "number": "mae"}.get(kind, "accuracy")
    assert report.history["metrics"][-1][name] == pytest.approx(report.scores["tuned"][name], rel=1e-3)


def test_scores_of_an_epoch_are_those_of_texts():
    part = Dataset.from_dict({TEXT: [0, 0, 0, 1]})
    logits = np.log(np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.2, 0.8]]))
    scores = by_text(accuracy_f1, part, "single_label_classification")(EvalPrediction(logits, np.array([0, 0, 0, 1])))
    assert scores == {"accuracy": 1.0, "f1": 1.0}
    assert by_text(accuracy_f1, Dataset.from_dict({"labels": [0]}), "") is accuracy_f1


def test_long_rows_go_through_the_model_in_parts_and_give_the_same_step(tiny, monkeypatch):
    rows = Dataset.from_dict({"text": [ROAD * 5 + str(n) for n in range(8)], "label": [0, 1] * 4})
    data, collate = tokenize(rows, TOKENIZER, max_length=64), DataCollatorWithPadding(TOKENIZER)

    def weights():
        model = AutoModelForSequenceClassification.from_pretrained(
            tiny, num_labels=2, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        train(model, data, data, collate=collate, config=TrainConfig(epochs=1, lr=1e-3, batch_size=8))
        return torch.cat([weight.detach().flatten() for weight in model.parameters()])

    whole_batch = weights()
    monkeypatch.setattr("ftcourse.engine.batches.BATCH_TOKENS", {"cpu": 150})
    assert torch.allclose(whole_batch, weights(), atol=1e-4)
    assert [len(part["labels"]) for part in parts_of(collate([data[row] for row in range(8)]))] == [2, 2, 2, 2]


# rows that a model cannot read


GOOD = {"input_ids": [[2, 5, 3]] * 30, "labels": [0, 1] * 15}


def broken(**rows) -> Dataset:
    """Good rows, but for those whose number is given with their ids."""
    ids = [*GOOD["input_ids"]]
    for number, row in rows.items():
        ids[int(number[1:])] = row
    return Dataset.from_dict(GOOD | {"input_ids": ids})


BAD = [
    ({"_7": [2, 24000, 3]}, r"train_data\['input_ids'\]\[7\] has the id 24000; the model knows those from 0 to 23999"),
    ({"_9": [2, -1, 3]}, r"train_data\['input_ids'\]\[9\] has the id -1"),
    ({"_29": [5] * 65}, r"train_data\['input_ids'\]\[29\] has 65 tokens; the model reads 64 at most"),
    ({"_4": []}, r"train_data\['input_ids'\]\[4\] has no token; expected one or more"),
    ({"_8": [2, 30000], "_3": []}, r"train_data\['input_ids'\]\[3\] has no token"),
    ({f"_{number}": [] for number in range(30)}, r"train_data\['input_ids'\]\[0\] has no token"),
]


@pytest.mark.parametrize(("rows", "said"), BAD)
@pytest.mark.parametrize("helper", ["train", "valid", "evaluate", "fit"])
def test_rows_that_cannot_be_read_are_found_before_training(tiny, tmp_path, rows, said, helper):
    model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=2)
    data, good, collate = broken(**rows), Dataset.from_dict(GOOD), DataCollatorWithPadding(TOKENIZER)
    calls = {
        "train": lambda: train(model, data, collate=collate),
        "valid": lambda: train(model, good, data, collate=collate, config=FAST),
        "evaluate": lambda: evaluate(model, data, collate=collate),
        "fit": lambda: fit_trainer(model, data, good, tokenizer=TOKENIZER, output_dir=tmp_path),
    }
    name = {"valid": "valid_data", "evaluate": "data"}.get(helper, "train_data")
    with pytest.raises(ValueError, match=said.replace("train_data", name)):
        calls[helper]()


@pytest.mark.parametrize("lang", ["ar", "zh", "zh-Hant"])
def test_such_rows_are_told_in_the_readers_language(tiny, lang, monkeypatch):
    monkeypatch.setenv("FTCOURSE_LANG", lang)
    model = load_classifier(tiny)
    for rows, _ in BAD:
        with pytest.raises(ValueError) as caught:
            check_inputs(model, broken(**rows), "train_data")
        said = str(caught.value)
        assert "train_data['input_ids'][" in said and not said.isascii()


def test_a_collator_that_mends_a_row_is_trusted(tiny):
    model, collate = AutoModelForSequenceClassification.from_pretrained(tiny), DataCollatorWithPadding(TOKENIZER)

    def cutting(rows):
        return collate([row | {"input_ids": row["input_ids"][:64], "attention_mask": [1] * 64} for row in rows])

    check_inputs(model, broken(_3=[5] * 70), "data", cutting)
    with pytest.raises(ValueError, match="has 70 tokens"):
        check_inputs(model, broken(_3=[5] * 70), "data", collate)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(-2, 12), max_size=8), min_size=1, max_size=30), st.integers(1, 7))
def test_the_first_bad_row_is_found_wherever_it_stands(rows, at_once):
    wrong = [n for n, row in enumerate(rows) if not row or len(row) > 6 or min(row) < 0 or max(row) >= 10]
    data = Dataset.from_dict({"input_ids": rows}) if any(rows) else Dataset.from_dict({"input_ids": [[1], *rows]})
    wrong = wrong if any(rows) else [1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ftcourse.engine.inputs.AT_ONCE", at_once)
        found = bad_row(data, {"input_ids": 10}, 6)
    assert (found[2] if found else None) == (wrong[0] if wrong else None)


SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


BART = {f"{part}_{name}": 1 for part in ("encoder", "decoder") for name in ("layers", "attention_heads")}
BART |= {f"{part}_ffn_dim": 16 for part in ("encoder", "decoder")}
BART |= {"vocab_size": 50, "max_position_embeddings": 40, "d_model": 16}


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        (lambda: GPT2ForSequenceClassification(GPT2Config(vocab_size=50, n_positions=40, **TINY)), 40),
        (lambda: RobertaForSequenceClassification(RobertaConfig(**SMALL, max_position_embeddings=42)), 40),
        (lambda: LlamaForSequenceClassification(LlamaConfig(**SMALL, max_position_embeddings=40)), None),
        (lambda: BartForSequenceClassification(BartConfig(**BART)), 40),
    ],
)
def test_positions_are_counted_for_all_kinds_of_models(model, limit):
    model = model().eval()
    assert position_limit(model) == limit
    if limit:
        ids = torch.full((1, limit), 2)
        assert model(input_ids=ids).logits.shape[0] == 1
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, limit + 1), 2))


def test_a_text_without_a_token_gets_an_answer_and_the_others_keep_theirs(tmp_path):
    model = GPT2ForSequenceClassification(
        GPT2Config(vocab_size=8000, n_positions=64, **TINY, pad_token_id=0, num_labels=2)
    )
    tokenizer = AutoTokenizer.from_pretrained(Kit().model("writer"))
    tokenizer.pad_token_id = 0
    predictor = Predictor(model, tokenizer)
    found = predictor.predict(["good food", "", "bad food"]).probabilities
    alone = predictor.predict(["good food", "bad food"]).probabilities
    assert np.allclose(found[[0, 2]], alone, atol=1e-5) and np.isfinite(found).all()
    assert np.isfinite(predictor.predict([""]).probabilities).all()
    assert np.isfinite(Predictor(model, tokenizer, windows=True).predict([""]).probabilities).all()
    assert json.dumps(found.tolist())


@pytest.mark.parametrize("pair", [False, True])
def test_training_reads_no_more_of_a_book_than_its_beginning(tiny, monkeypatch, pair):
    tokenizer = load_tokenizer(tiny)
    texts = [["good food " * 100_000, "bad", "x " * 9], ["b", "nice " * 200_000, "y"]][: 1 + pair]
    usual = tokenizer(*texts, truncation=True, max_length=16)
    read, encode = [], tokenizing.encode
    monkeypatch.setattr(
        tokenizing, "encode", lambda one, some, most: read.extend(map(len, map(str, some))) or encode(one, some, most)
    )
    rows = tokenize(Dataset.from_dict(dict(zip(("text", "text_pair"), texts, strict=False))), tokenizer, max_length=16)
    assert {name: rows[name][:] for name in usual} == dict(usual) and 0 < max(read) < 10_000


def test_a_model_without_a_limit_says_so_in_any_way():
    sizes = {"vocab_size": 50, "d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32}
    model = XLNetForSequenceClassification(XLNetConfig(**sizes))
    assert model.config.max_position_embeddings == -1 and most_tokens(model) is None
