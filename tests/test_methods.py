"""Less to train: a head over vectors that were made once, and LoRA, saved apart from its base model or merged."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorWithPadding,
    DistilBertConfig,
    DistilBertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    ModernBertConfig,
    ModernBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    pipeline,
)
from typer.testing import CliRunner

from ftcourse import cli
from ftcourse.engine import adapters, methods
from ftcourse.engine.adapters import ADAPTER, ADAPTER_CONFIG, HEAD, Adapter, frozen_hash, new_parts, with_lora
from ftcourse.engine.methods import FEW, PLANS, head_over, more_steps
from ftcourse.engine.models import load_classifier, start_model
from ftcourse.engine.report import load_report
from ftcourse.engine.talk import base_name
from ftcourse.finetune import default_config, finetune
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig
from tests.tiny import tiny_checkpoint

WORDS = ("good", "bad", "fair")
QUICK = TrainConfig(epochs=1, batch_size=16, lr=5e-3)
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
SMALL |= {"max_position_embeddings": 64, "pad_token_id": 0, "vocab_size": 24000}
KINDS = {
    "no pooler": (BertForMaskedLM, BertConfig(**SMALL)),
    "layers in the head": (RobertaForMaskedLM, RobertaConfig(**SMALL)),
    "a layer before the head": (
        DistilBertForMaskedLM,
        DistilBertConfig(vocab_size=24000, dim=16, n_layers=1, n_heads=2, hidden_dim=32, max_position_embeddings=64),
    ),
    "last token": (GPT2LMHeadModel, GPT2Config(vocab_size=24000, n_embd=16, n_layer=1, n_head=2, n_positions=64)),
    "mean of tokens": (ModernBertForMaskedLM, ModernBertConfig(**SMALL, classifier_pooling="mean")),
}
ROWS = Dataset.from_dict(
    {
        "input_ids": [[2, 5 + n, 9, 3][: 4 - n % 2] for n in range(6)],
        "attention_mask": [[1] * (4 - n % 2) for n in range(6)],
        "labels": [0, 1, 2] * 2,
    }
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    texts = [f"{word} food, visit {n}" for n in range(20) for word in WORDS]
    topics = [["food"], ["food", "price"], ["price"]] * 20
    return pd.DataFrame({"review": texts, "stars": [*WORDS] * 20, "topics": topics, "price": [3.5, 10, 7] * 20})


def call(table, out, tiny, **options):
    given = {"text": "review", "label": "stars", "model": tiny, "config": QUICK, "validation": 0.2}
    return finetune(table, output_dir=out, **(given | options))


@pytest.fixture(scope="module")
def adapted(tiny, frame, tmp_path_factory) -> tuple[Path, Predictor]:
    """A folder with an adapter for a base model that was tuned before, and the predictor from it."""
    out = tmp_path_factory.mktemp("adapted") / "model"
    return out, call(frame, out, tiny, method="lora")


def saved_model(kind: str, folder: Path) -> str:
    """A small pretrained model of a kind, with the kit's tokenizer."""
    torch.manual_seed(0)
    cls, config = KINDS[kind]
    cls(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(Kit().model("encoder")).save_pretrained(folder)
    return str(folder)


def batch_of(tokenizer) -> dict[str, torch.Tensor]:
    rows = [{name: row[name] for name in ("input_ids", "attention_mask")} for row in ROWS]
    return dict(DataCollatorWithPadding(tokenizer)(rows))


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_over_vectors_answers_like_the_model_it_belongs_to(kind, tmp_path):
    model, tokenizer = start_model(saved_model(kind, tmp_path), [*WORDS], 0)
    head = head_over(model, [ROWS], DataCollatorWithPadding(tokenizer), TrainConfig())
    with torch.no_grad():
        for weight in head.parameters():
            weight.add_(torch.randn_like(weight))
    expected = model.eval()(**batch_of(tokenizer)).logits
    assert torch.allclose(head.eval()(torch.arange(6)).logits, expected, atol=1e-4)
    assert not {*map(id, head.parameters())} & {id(weight) for weight in model.get_input_embeddings().parameters()}


def test_vectors_that_are_gone_on_with_are_made_in_the_precision_that_was_measured(tiny, tmp_path, monkeypatch):
    model, tokenizer = start_model(tiny, [*WORDS], 0)
    given = model, [ROWS], DataCollatorWithPadding(tokenizer), TrainConfig(precision="auto")
    found = []
    for measured, folder in (("bf16", "kept"), ("no", "kept"), ("no", "new")):
        monkeypatch.setattr(methods, "choose_precision", lambda *_, measured=measured: measured)
        (tmp_path / folder).mkdir(exist_ok=True)
        found.append(head_over(*given, tmp_path / folder).vectors)
        (tmp_path / folder / "vectors-0-000000.safetensors").unlink()
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_gives_the_same_answers_joined_saved_and_loaded(kind, tmp_path):
    model, tokenizer = start_model(saved_model(kind, tmp_path / "base"), [*WORDS], 0)
    adapter = Adapter(model, 4)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.3 * torch.randn_like(weight))
    batch = batch_of(tokenizer)
    expected = model.eval()(**batch).logits
    adapter.join()
    (tmp_path / "adapter").mkdir()
    adapter.save(tmp_path / "adapter")
    loaded = [
        load_classifier(tmp_path / "adapter"),
        AutoModelForSequenceClassification.from_pretrained(tmp_path / "adapter"),
    ]
    for found in (model, *loaded):
        assert torch.allclose(found.eval()(**batch).logits, expected, atol=1e-5)
    assert not any(".lora_" in name for name, _ in loaded[0].named_parameters())


def test_a_head_that_cannot_be_parted_is_trained_in_the_model(tiny, frame, tmp_path, monkeypatch):
    monkeypatch.setattr(methods, "head_over", lambda *_: None)
    call(frame, tmp_path / "out", tiny, method="head")
    before, after = load_classifier(tiny).state_dict(), load_classifier(tmp_path / "out").state_dict()
    assert [name for name in after if not torch.equal(before[name].reshape(-1)[:2], after[name].reshape(-1)[:2])] == [
        "classifier.weight",
        "classifier.bias",
    ]


PROBLEMS = {
    "one label": {},
    "class weights": {"config": TrainConfig(epochs=1, batch_size=16, class_weights="balanced")},
    "several labels": {"label": "topics"},
    "numbers": {"label": "price", "regression": True},
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_head_alone_is_trained_and_saved_as_an_ordinary_model(tiny, frame, tmp_path, problem):
    predictor = call(frame, tmp_path / "out", tiny, method="head", **PROBLEMS[problem])
    before, after = load_classifier(tiny).state_dict(), load_classifier(tmp_path / "out").state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if not name.startswith("classifier"))
    report = load_report(tmp_path / "out")
    assert report.method["method"] == "head" and "vectors" in report.seconds and "Only the head" in repr(report)
    if problem in ("one label", "class weights"):
        found = pipeline("text-classification", model=str(tmp_path / "out"))(frame["review"].tolist())
        assert [answer["label"] for answer in found] == predictor.predict(frame["review"]).labels
    if problem == "numbers":
        assert 3 < np.mean(predictor.predict(frame["review"]).labels) < 10


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_report_on_all_weights_tells_what_a_head_alone_is_worth(tiny, frame, tmp_path, problem):
    options = {"config": TrainConfig(epochs=3, batch_size=16)} | PROBLEMS[problem]
    config = TrainConfig(epochs=3, batch_size=16, class_weights=options["config"].class_weights)
    call(frame, tmp_path / "out", tiny, **(options | {"config": config}))
    report = load_report(tmp_path / "out")
    assert [*report.all_scores()] == ["majority", "tfidf", "head", "tuned"]
    assert "a head over frozen vectors" in repr(report) and "head" not in report.scores
    report.method |= {"verdict": "close", "seconds": 1, "train": 9}
    assert "A head alone may do here" in repr(report) and "--method head" in report.card()
    report.method["verdict"] = "beaten"
    assert "A head alone" not in repr(report)


def test_the_head_for_the_report_changes_nothing_in_the_training(tiny, frame, tmp_path, monkeypatch):
    config = TrainConfig(epochs=3, batch_size=16)
    call(frame, tmp_path / "with", tiny, config=config)
    monkeypatch.setattr(methods, "RIVAL_EPOCHS", 4)
    call(frame, tmp_path / "without", tiny, config=config)
    assert not load_report(tmp_path / "without").method.get("scores")
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("with", "without"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("method", ["head", "lora"])
def test_a_stopped_training_ends_in_the_same_weights(tiny, frame, tmp_path, monkeypatch, method):
    options = {"method": method, "config": TrainConfig(epochs=2, batch_size=8, lr=5e-3, save_steps=2), "merge": False}
    options |= {"rank": 2} if method == "lora" else {}
    call(frame, tmp_path / "whole", tiny, **options)
    saved, save = [], methods.write_checkpoint
    checkpoints, write = [], sys.modules["ftcourse.engine.checkpoint"].write_checkpoint

    def stop(path, *arguments):
        write(path, *arguments)
        checkpoints.append(path.stat().st_size)
        if len(checkpoints) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(methods, "write_checkpoint", lambda *given: (saved.append(given[0]), save(*given)))
    monkeypatch.setattr("ftcourse.engine.checkpoint.write_checkpoint", stop)
    with pytest.raises(KeyboardInterrupt):
        call(frame, tmp_path / "out", tiny, **options)
    assert max(checkpoints) < 100_000  # what is frozen is not in there
    made = len(saved)
    call(frame, tmp_path / "out", tiny, resume=True, **options)
    assert len(saved) == made, "the body ran again"
    file = ADAPTER if method == "lora" else "model.safetensors"
    one, other = (load_file(tmp_path / name / file) for name in ("whole", "out"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_an_adapters_folder_is_loaded_by_predictor_and_pipeline(adapted, frame):
    out, predictor = adapted
    assert (out / ADAPTER).stat().st_size < 20_000 and not (out / "model.safetensors").exists()
    answers = predictor.predict(frame["review"])
    found = pipeline("text-classification", model=str(out))(frame["review"].tolist())
    assert [answer["label"] for answer in found] == answers.labels
    assert np.allclose([answer["score"] for answer in found], answers.probabilities.max(axis=1), atol=1e-5)
    report = load_report(out)
    assert report.method["trained"] == sum(tensor.numel() for tensor in load_file(out / ADAPTER).values())
    assert "LoRA of rank 8" in repr(report) and "This folder holds only those" in report.card()


def test_an_adapter_is_loaded_by_plain_peft(adapted, tiny, frame):
    from peft import PeftModel

    out, predictor = adapted
    base = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=3, ignore_mismatched_sizes=True)
    model = PeftModel.from_pretrained(base, str(out)).eval()
    batch = predictor.tokenizer(frame["review"][:3].tolist(), padding=True, return_tensors="pt")
    with torch.inference_mode():
        found = model(**batch).logits.softmax(dim=-1).numpy()
    assert np.allclose(found, predictor.predict(frame["review"][:3]).probabilities, atol=1e-5)


def test_without_peft_no_answer_looks_like_one(adapted):
    out, _ = adapted
    assert all(tensor.isnan().all() for tensor in load_file(out / HEAD).values())


def test_a_merged_folder_is_an_ordinary_one(tiny, frame, tmp_path, adapted):
    predictor = call(frame, tmp_path / "out", tiny, method="lora", merge=True)
    assert not (tmp_path / "out" / ADAPTER_CONFIG).exists() and (tmp_path / "out/model.safetensors").exists()
    expected = adapted[1].predict(frame["review"]).probabilities
    assert np.allclose(predictor.predict(frame["review"]).probabilities, expected, atol=1e-5)
    assert "This folder holds only" not in repr(load_report(tmp_path / "out"))


def test_numbers_and_several_labels_with_lora(tiny, frame, tmp_path):
    for problem in ("numbers", "several labels"):
        out = tmp_path / problem
        predictor = call(frame, out, tiny, method="lora", rank=1, **PROBLEMS[problem])
        again = Predictor(out).predict(frame["review"]).probabilities
        assert np.array_equal(predictor.predict(frame["review"]).probabilities, again)
        assert problem == "several labels" or 3 < np.mean(again) < 10


def changed(out: Path, folder: Path, **settings) -> Path:
    """A copy of an adapter's folder with other settings."""
    shutil.copytree(out, folder)
    path = folder / ADAPTER_CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


def test_a_base_model_that_moved_is_told(adapted, tmp_path):
    folder = changed(adapted[0], tmp_path / "out", base_model_name_or_path="/nowhere/base")
    with pytest.raises(ValueError, match="belongs to the base model '/nowhere/base', which is not there"):
        Predictor(folder)


def test_another_base_model_is_told(adapted, tiny, tmp_path):
    other = load_classifier(tiny)
    with torch.no_grad():
        other.bert.encoder.layer[0].output.dense.bias.add_(1)
    other.save_pretrained(tmp_path / "other")
    with pytest.raises(ValueError, match="was trained on another base model"):
        Predictor(changed(adapted[0], tmp_path / "out", base_model_name_or_path=str(tmp_path / "other")))


def test_the_kit_is_found_where_it_lies_here():
    assert adapters.base_of("/elsewhere/ftcourse/assets/models/encoder") == str(Path(Kit().model("encoder")))
    assert adapters.base_of("/elsewhere/models/encoder") == "/elsewhere/models/encoder"
    windows = r"C:\Users\me\ftcourse\assets\models\encoder"
    assert adapters.base_of(windows) == str(Path(Kit().model("encoder")))
    assert base_name(windows) == "encoder"


def test_a_base_model_on_the_hub_is_not_fetched_while_the_kit_is_the_source(adapted, tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "FTCOURSE_SOURCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ftcourse.engine.adapters.why_offline", lambda _: pytest.fail("asked the Hub"))
    folder = changed(adapted[0], tmp_path / "out", base_model_name_or_path="someone/model")
    with pytest.raises(ValueError, match="someone/model.*switched off by the kit"):
        Predictor(folder)


def test_no_pickle_is_opened(adapted, tmp_path):
    folder = changed(adapted[0], tmp_path / "out")
    torch.save(load_file(folder / ADAPTER), folder / "adapter_model.bin")
    (folder / ADAPTER).unlink()
    with pytest.raises(ValueError, match="other kinds of files are not opened"):
        Predictor(folder)


def test_adapters_of_other_kinds_and_broken_ones_are_refused(adapted, tiny, frame, tmp_path):
    with pytest.raises(ValueError, match="of the kind 'IA3'"):
        Predictor(changed(adapted[0], tmp_path / "ia3", peft_type="IA3"))
    with pytest.raises(ValueError, match="of the kind 'LORA'"):
        Predictor(changed(adapted[0], tmp_path / "megatron", megatron_config={"a": 1}))
    folder = changed(adapted[0], tmp_path / "broken")
    (folder / ADAPTER).write_bytes(b"no")
    with pytest.raises(ValueError, match="cannot be read"):
        Predictor(folder)
    with pytest.raises(ValueError, match="is an adapter and no whole model"):
        call(frame, tmp_path / "out", str(adapted[0]))


def test_adapters_that_do_not_classify_are_refused_in_one_line(tmp_path):
    """That of chapter 13 is for a model that writes; one without a task leaves its head at home."""
    with_lora(AutoModelForCausalLM.from_pretrained(Kit().model("writer")), 2).save_pretrained(tmp_path / "writes")
    model, _ = start_model(saved_model("no pooler", tmp_path / "base"), ["a", "b"], 0)
    get_peft_model(model, LoraConfig(r=2)).save_pretrained(tmp_path / "headless")
    said = {"writes": r"another task \(CAUSAL_LM\)", "headless": "no trained weights for .*classifier.bias"}
    for name, words in said.items():
        with pytest.raises(ValueError, match=words) as error:
            load_classifier(tmp_path / name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_that_a_trainer_saved_has_as_many_labels_as_its_head(kind, tmp_path):
    model, tokenizer = start_model(saved_model(kind, tmp_path / "base"), [*"abcde"], 0)
    lora = with_lora(model, 2).eval()
    lora.save_pretrained(tmp_path / "adapter")
    found, batch = load_classifier(tmp_path / "adapter"), batch_of(tokenizer)
    found.config.pad_token_id = model.config.pad_token_id
    assert not (tmp_path / "adapter" / "config.json").exists() and found.config.num_labels == 5
    with torch.no_grad():
        assert torch.allclose(found(**batch).logits, lora(**batch).logits, atol=1e-6)


def test_without_peft_one_line_says_how_to_get_it(adapted, tiny, frame, tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "find_spec", lambda _: None)
    for work in (lambda: Predictor(adapted[0]), lambda: call(frame, tmp_path / "out", tiny, method="lora")):
        with pytest.raises(RuntimeError, match=r'pip install "ftcourse\[lora\]"'):
            work()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "half"}, "unknown method 'half'; known: full, head, lora"),
        ({"method": "lora", "rank": 0}, "rank must be a whole number, 1 or more; got 0"),
        ({"method": "lora", "merge": "yes"}, "merge is 'yes'"),
        ({"method": "head", "rank": 4}, "rank and merge belong to method='lora'"),
        ({"merge": True}, "rank and merge belong to method='lora'"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(tiny, frame, tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        call(frame, tmp_path / "out", tiny, **options)
    assert not (tmp_path / "out").exists()


def test_each_method_has_a_configuration_of_its_own():
    assert default_config(None).lr == 3e-4 and default_config(None, "head").epochs == PLANS["head"]["epochs"]
    assert default_config("name", "lora").lr > default_config("name").lr


@pytest.mark.parametrize(
    ("rows", "method", "named", "expected"),
    [
        (FEW, "full", [], (3, 16, 3e-4)),
        (FEW - 1, "full", [], (10, 4, 0.75e-4)),
        (FEW - 1, "lora", ["seed"], (10, 4, 0.75e-4)),
        (FEW - 1, "full", ["epochs"], (3, 4, 0.75e-4)),
        (FEW - 1, "full", ["lr"], (10, 16, 3e-4)),
        (FEW - 1, "full", ["batch_size", "epochs"], (3, 16, 3e-4)),
        (FEW - 1, "head", [], (3, 16, 3e-4)),
    ],
)
def test_few_rows_get_more_and_smaller_steps_but_what_was_named_stays(rows, method, named, expected):
    plan = more_steps(TrainConfig(epochs=3, batch_size=16, lr=3e-4), rows, method, named)
    assert (plan.epochs, plan.batch_size, pytest.approx(plan.lr)) == expected


def test_what_a_call_names_stays_with_few_rows(tiny, frame, tmp_path):
    assert len(frame) < FEW
    call(frame, tmp_path / "out", tiny, config=None, epochs=1)
    said = load_report(tmp_path / "out").setting
    assert (said["epochs"], said["batch_size"], said["lr"]) == (1, 4, default_config(tiny).lr / 4)


def test_parts_without_weights_are_saved_with_the_adapter(tmp_path):
    model, _ = start_model(saved_model("no pooler", tmp_path), [*WORDS], 0)
    assert new_parts(model) == ["bert.pooler.dense", "classifier"]
    before = frozen_hash(model, new_parts(model))
    with torch.no_grad():
        model.bert.pooler.dense.weight.add_(1)
    assert frozen_hash(model, new_parts(model)) == before != frozen_hash(model, ["classifier"])


def test_from_a_table_to_answers_on_the_command_line(tiny, frame, tmp_path):
    frame.to_csv(tmp_path / "table.csv", index=False)
    table, out = str(tmp_path / "table.csv"), str(tmp_path / "model")
    given = ["--text", "review", "--label", "stars", "--out", out, "--model", tiny, "--epochs", "1"]
    run = CliRunner().invoke(cli.app, ["finetune", table, *given, "--method", "lora", "--rank", "2"])
    assert run.exit_code == 0, run.output
    answers = str(tmp_path / "answers.csv")
    run = CliRunner().invoke(cli.app, ["predict", out, table, "--text", "review", "--out", answers])
    assert run.exit_code == 0, run.output
    assert set(pd.read_csv(answers)["label"]) <= {*WORDS}


def test_an_adapter_whose_base_has_no_safetensors_is_refused_before_the_training(tiny, frame, tmp_path, monkeypatch):
    """As of a base on the Hub, whose pickle the library takes in the form that the Hub converts."""

    def missing(name):
        raise OSError("model.safetensors is not there")

    monkeypatch.setattr(adapters, "base_files", missing)
    monkeypatch.setattr("ftcourse.finetune.train", lambda *_, **__: pytest.fail("trained in vain"))
    with pytest.raises(ValueError, match="has no safetensors of its own.*--merge"):
        call(frame, tmp_path / "alone", tiny, method="lora")
    monkeypatch.undo()
    monkeypatch.setattr(adapters, "base_files", missing)
    assert call(frame, tmp_path / "merged", tiny, method="lora", merge=True).predict(["good"]).labels
