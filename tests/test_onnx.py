"""ONNX Runtime behind a `Predictor`, and tokenizing quickly or ahead: quicker, with the same answers."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import load_dataset
from onnx import helper as onnx_helper
from onnx import numpy_helper
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    RobertaConfig,
    XLMRobertaConfig,
)
from transformers.modeling_outputs import SequenceClassifierOutput
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine import forward, onnx, tokenizing
from ftcourse.engine.messages import speaking
from ftcourse.engine.models import load_tokenizer, most_tokens
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from tests.test_threads import ahead_threads
from tests.tiny import tiny_checkpoint

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SMALL = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
CONFIGS = {
    "bert": (BertConfig, SIZES),
    "distilbert": (DistilBertConfig, SMALL),
    "roberta": (RobertaConfig, SIZES | {"max_position_embeddings": 70, "pad_token_id": 0}),
    "xlm-roberta": (XLMRobertaConfig, SIZES | {"max_position_embeddings": 70, "pad_token_id": 0}),
}
TEXTS = ["Lovely food.", "", "好吃", " ".join(["The soup was cold and the waiter slow."] * 20), "كان الطعام لذيذا", "a"]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(Kit().model("stars"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache, monkeypatch):
    monkeypatch.setenv("FTCOURSE_CACHE", str(cache))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def made(kind: str, tokenizer, **options):
    torch.manual_seed(0)
    config, sizes = CONFIGS[kind]
    sizes = {"vocab_size": len(tokenizer), "max_position_embeddings": 64, "num_labels": 3} | sizes | options
    return AutoModelForSequenceClassification.from_config(config(**sizes, initializer_range=0.3))


def same_answers(model, tokenizer, texts=TEXTS, pairs=None, **how) -> np.ndarray:
    """What PyTorch answers, which ONNX Runtime answers, too."""
    expected = Predictor(model, tokenizer, **how).predict(texts, pairs)
    found = Predictor(model, tokenizer, backend="onnx", **how).predict(texts, pairs)
    assert np.allclose(found.probabilities, expected.probabilities, atol=1e-4)
    assert np.ptp(expected.probabilities, axis=0).max() > 0.01  # answers that differ from text to text
    return expected.probabilities


def test_pairs_windows_and_odd_texts_have_the_same_answers(tiny, tokenizer):
    model = made("bert", tokenizer)
    whole = same_answers(model, tokenizer)
    same_answers(model, tokenizer, pairs=TEXTS[::-1])
    windows = same_answers(model, tokenizer, windows=True, max_length=16)
    assert np.abs(windows - whole).max() > 1e-3
    predictor = Predictor(model.train(), tokenizer, backend="onnx", batch_size=2)
    assert np.allclose(predictor.predict(TEXTS).probabilities, whole, atol=1e-4) and model.training
    assert predictor.predict([]).labels == []


def test_a_model_in_onnx_reads_as_many_tokens_as_the_one_it_was_made_of(tokenizer):
    model, session = made("roberta", tokenizer), SimpleNamespace(get_inputs=list)
    assert most_tokens(onnx.OnnxClassifier(session, model)) == most_tokens(model) == 69


@pytest.mark.parametrize("kind", [*CONFIGS])
@pytest.mark.long
def test_models_of_each_kind_have_the_same_answers(kind, tokenizer):
    same_answers(made(kind, tokenizer), tokenizer)
    several = same_answers(made(kind, tokenizer, problem_type="multi_label_classification"), tokenizer)
    assert not np.allclose(several.sum(axis=1), 1)
    same_answers(made(kind, tokenizer, num_labels=1, problem_type="regression"), tokenizer)
    same_answers(made(kind, tokenizer), tokenizer, pairs=TEXTS[::-1])
    in_eight_bits = Predictor(made(kind, tokenizer), tokenizer, backend="onnx", precision="int8")
    assert in_eight_bits.predict(TEXTS).probabilities.shape == (len(TEXTS), 3)


@pytest.mark.long
@pytest.mark.parametrize("lang", ["en", "ar", "zh", "zh-Hant"])
def test_the_kits_stars_have_the_same_answers_and_eight_bits_as_many_right_ones(lang):
    kit, rows = Kit(lang), load_dataset(*Kit(lang).dataset("reviews"))["test"].select(range(600))
    texts, labels = rows["text"][:], np.array(rows["label"])
    expected = Predictor(kit.model("stars")).predict(texts).probabilities
    found = Predictor(kit.model("stars"), backend="onnx").predict(texts).probabilities
    assert np.allclose(found, expected, atol=1e-4)
    small = Predictor(kit.model("stars"), backend="onnx", precision="int8").predict(texts).probabilities
    assert (small.argmax(axis=1) != expected.argmax(axis=1)).mean() < 0.1
    right, small_right = ((one.argmax(axis=1) == labels).mean() for one in (expected, small))
    assert small_right > right - 0.02


@pytest.mark.long
def test_a_head_and_an_adapter_of_finetune_are_read(tiny, tmp_path, call):
    frame = pd.DataFrame({"review": [f"{word} number {n}" for n in range(30) for word in ("good", "bad")]})
    frame["stars"] = [text.split()[0] for text in frame["review"]]
    for method in ("head", "lora"):
        call(frame, method=method, output_dir=tmp_path / method)
        expected = Predictor(tmp_path / method).predict(TEXTS).probabilities
        assert np.allclose(
            Predictor(tmp_path / method, backend="onnx").predict(TEXTS).probabilities, expected, atol=1e-4
        )


@pytest.fixture(scope="module")
def answered(tiny, cache) -> np.ndarray:
    """The answers of `tiny` in eight bits, whose file is in the cache from now on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTCOURSE_CACHE", str(cache))
        return Predictor(tiny, backend="onnx", precision="int8").predict(TEXTS).probabilities


def test_a_file_is_made_once_and_anew_where_it_is_damaged(tiny, answered, cache, monkeypatch, tmp_path):
    exports, export = [], onnx.export
    monkeypatch.setattr(onnx, "export", lambda *given: exports.append(given) or export(*given))
    again = Predictor(tiny, backend="onnx", precision="int8").predict(TEXTS).probabilities
    assert not exports and np.array_equal(again, answered)
    [file] = (cache / "onnx").glob("*-int8.*")
    folder, name, whole = tmp_path / "onnx", file.name.split(".")[0], file.read_bytes()
    folder.mkdir()
    for damaged in (whole[:-100], whole[:-100] + bytes(100), b""):
        (folder / file.name).write_bytes(damaged)
        assert onnx.kept(folder, name) is None and not [*folder.iterdir()]
    (tmp_path / "no-folder").touch()
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path / "no-folder"))
    found = Predictor(tiny, backend="onnx", precision="int8").predict(TEXTS).probabilities
    assert len(exports) == 1 and np.array_equal(found, answered)


def test_a_channel_with_large_numbers_does_not_round_the_others_away(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x, weights = rng.normal(size=(16, 512)).astype(np.float32), rng.normal(size=(512, 8)).astype(np.float32)
    x[:, 3] *= 500
    ends = [onnx_helper.make_tensor_value_info(name, 1, ["rows", size]) for name, size in (("x", 512), ("y", 8))]
    node = onnx_helper.make_node("MatMul", ["x", "weights"], ["y"], "product")
    graph = onnx_helper.make_graph([node], "g", ends[:1], ends[1:], [numpy_helper.from_array(weights, "weights")])
    file = tmp_path / "model.onnx"
    opset = [onnx_helper.make_opsetid("", 18)]
    file.write_bytes(onnx_helper.make_model(graph, ir_version=8, opset_imports=opset).SerializeToString())
    errors = []
    for large in (onnx.LARGE, np.inf):
        monkeypatch.setattr(onnx, "LARGE", large)
        with onnx.quiet_export():
            session = onnx.open_session(onnx.in_eight_bits(file, [{"x": torch.from_numpy(x)}]))
        errors.append(np.abs(session.run(None, {"x": x})[0] - x @ weights).mean())
    assert errors[0] < errors[1] / 20


def test_a_model_that_has_changed_has_another_file(tiny):
    model = AutoModelForSequenceClassification.from_pretrained(tiny)
    before = onnx.model_hash(model, ["input_ids"])
    assert before == onnx.model_hash(AutoModelForSequenceClassification.from_pretrained(tiny), ["input_ids"])
    model.config.problem_type = "regression"
    assert onnx.model_hash(model, ["input_ids"]) != before != onnx.model_hash(model, [])
    model.config.problem_type = None
    model.classifier.bias.data += 1
    assert onnx.model_hash(model, ["input_ids"]) != before


@pytest.mark.parametrize("lang", ["en", "ar", "zh", "zh-Hant"])
def test_what_cannot_be_is_said_in_one_line(lang, tiny, monkeypatch):
    with speaking(lang):
        for backend, precision in (("onnx", "bf16"), ("onnx", "auto"), ("torch", "int8"), ("tf", "no"), ("onnx", "8")):
            with pytest.raises(ValueError) as error:
                Predictor(tiny, backend=backend, precision=precision)
            assert "\n" not in str(error.value) and any(one in str(error.value) for one in (backend, precision))
        monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxscript" else name)
        with pytest.raises(RuntimeError, match=r"onnxscript.*ftcourse\[onnx\]"):
            Predictor(tiny, backend="onnx")


class Odd(BertForSequenceClassification):
    """Cannot be exported."""

    def forward(self, input_ids, token_type_ids, attention_mask):
        raise RuntimeError("one\ntwo")


def test_a_model_that_cannot_be_exported_is_named_with_the_reason(tokenizer):
    with pytest.raises(ValueError, match="^Odd .*one two.*backend='onnx'$"):
        onnx.onnx_classifier(Odd(BertConfig(**SIZES)), tokenizer)


class Unsteady(torch.nn.Module):
    """Answers otherwise each time, as its export cannot."""

    device, dtype, calls = torch.device("cpu"), torch.float32, 0

    def __init__(self, config):
        super().__init__()
        self.config, self.table = config, torch.nn.Embedding(config.vocab_size, 2)

    def forward(self, input_ids, token_type_ids, attention_mask):
        Unsteady.calls += 1
        logits = self.table(input_ids).sum(dim=1) + attention_mask.sum() + token_type_ids.sum()
        return SequenceClassifierOutput(logits=logits + Unsteady.calls)


def test_a_file_with_other_answers_is_not_taken(tokenizer, tmp_path):
    model = Unsteady(BertConfig(vocab_size=len(tokenizer)))
    with onnx.quiet_export(), pytest.raises(ValueError, match="Unsteady"):
        onnx.export(model, tokenizer, tmp_path)


def test_the_command_line_takes_both(tiny, answered, tmp_path):
    texts = [text or "blank" for text in TEXTS]
    pd.DataFrame({"review": texts}).to_csv(tmp_path / "new.csv", index=False)
    call = ["predict", tiny, str(tmp_path / "new.csv"), "--text", "review", "--backend", "onnx", "--out"]
    done = CliRunner().invoke(app, [*call, str(tmp_path / "out.csv"), "--precision", "int8"])
    assert done.exit_code == 0, done.output
    found = pd.read_csv(tmp_path / "out.csv")["probability"]
    expected = Predictor(tiny, backend="onnx", precision="int8").predict(texts).probabilities.max(axis=1)
    assert np.allclose(found, expected, atol=1e-4)
    done = CliRunner().invoke(app, [*call, str(tmp_path / "no.csv"), "--precision", "bf16"])
    assert done.exit_code == 2 and "onnx: no, int8" in " ".join(done.output.split())


@pytest.mark.parametrize("side", ["left", "right"])
def test_quick_encoding_is_the_tokenizers(side, tiny):
    tokenizer = load_tokenizer(tiny)
    tokenizer.padding_side = tokenizer.truncation_side = side
    assert tokenizing.is_plain(tokenizer)
    for texts in (TEXTS, [*zip(TEXTS, TEXTS[::-1], strict=True)], [TEXTS[3]], [""]):
        for length in (None, 5, 16, 64):
            tokenizer(["x"], padding="max_length", truncation=True, max_length=3)  # which leaves its settings behind
            expected = dict(tokenizer(texts, truncation=length is not None, max_length=length))
            assert tokenizing.encode(tokenizer, texts, length) == expected
    tokenizer.model_input_names = ["input_ids"]
    assert [*tokenizing.encode(tokenizer, TEXTS, 9)] == ["input_ids"]


def test_a_tokenizer_with_ways_of_its_own_is_asked_itself(tokenizer, tmp_path):
    class Backwards(type(tokenizer)):
        def __call__(self, texts, **how):
            return super().__call__([text[::-1] for text in texts], **how)

    tokenizer.save_pretrained(tmp_path)
    backwards = Backwards.from_pretrained(tmp_path)
    assert not tokenizing.is_plain(backwards)
    found = dict(tokenizing.encode(backwards, ["good"], 9))
    assert found == dict(tokenizer(["doog"])) != dict(tokenizer(["good"]))


def test_answers_are_those_of_texts_tokenized_one_after_the_other(tiny, monkeypatch):
    texts = [f"{text} {n}" for n in range(5) for text in TEXTS]
    predictor = Predictor(tiny)
    expected = predictor.predict(texts).probabilities
    monkeypatch.setattr(forward, "GROUP", 4)
    ahead, used = tokenizing.ahead, []
    monkeypatch.setattr(tokenizing, "ahead", lambda *given: used.append(given) or ahead(*given))
    for spare in (True, False):
        monkeypatch.setattr(tokenizing, "spare_cores", lambda device, spare=spare: spare)
        assert np.allclose(predictor.predict(texts).probabilities, expected, atol=1e-6)
        assert len(used) == 1 and not ahead_threads()
