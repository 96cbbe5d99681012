"""Chapter 13: what it exports, what `ftcourse finetune` shares with it, and the chapter on the model `chat`."""

import math

import nbformat
import pytest
import torch
from datasets import load_dataset
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    DataCollatorWithPadding,
    pipeline,
    set_seed,
)

from ftcourse.adapters import LoraLinear, answer, encode_replies, next_tokens, perplexity
from ftcourse.data import subset, tokenize
from ftcourse.engine.adapters import load_lora, with_lora
from ftcourse.engine.fetch import cache_folder, fetch
from ftcourse.engine.options import Options
from ftcourse.engine.talk import chat_tokenizer, talker
from ftcourse.finetune import default_config
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, evaluate, train
from ftcourse.model import classifier
from tests.test_exercises import solved, verdicts
from tools.learn import run_notebook
from tools.settings import notebook

SYSTEM = "You reply to reviews of our restaurant."
WRITER = Kit().model("writer")


@pytest.fixture(scope="module")
def tokenizer():
    return chat_tokenizer(WRITER)


def writer():
    return AutoModelForCausalLM.from_pretrained(WRITER).eval()


@pytest.fixture(scope="module")
def tuned(tokenizer):
    """The kit's writer with LoRA after eight pairs, and its perplexity of them before."""
    model = writer()
    rows = encode_replies(load_dataset(*Kit().dataset("replies"))["train"].select(range(8)), tokenizer, SYSTEM)
    before = perplexity(model, tokenizer, rows)
    set_seed(42)
    lora = with_lora(model, rank=4, last=3)
    plan = TrainConfig(epochs=2, batch_size=4, lr=1e-2)
    train(lora, rows, collate=DataCollatorForSeq2Seq(tokenizer), config=plan)
    return lora.eval(), rows, before


def test_the_labels_are_those_of_the_reply(tokenizer):
    [row] = encode_replies([{"review": "Cold soup.", "reply": "Dear guest, sorry."}], tokenizer, SYSTEM)
    kept = [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]
    assert tokenizer.decode(kept) == "Dear guest, sorry.<|endoftext|>\n"
    assert "Cold soup." in tokenizer.decode(row["input_ids"])


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "there are no pairs"),
        ([{"review": "Good.", "reply": "Thanks."}, {"review": "Cold soup."}], "row 1 has no text in 'reply'"),
        ([{"review": None, "reply": "Thanks."}], "row 0 has no text in 'review'"),
        (
            [{"review": "Cold soup. " * 99, "reply": "Sorry."}],
            r"row 0 .* have \d+ tokens, and at most 128 are read, so nothing is left of the reply",
        ),
    ],
)
def test_pairs_that_are_none_are_named(tokenizer, rows, said):
    with pytest.raises(ValueError, match=said):
        encode_replies(rows, tokenizer, SYSTEM)


def test_a_rank_of_nothing_is_refused():
    with pytest.raises(ValueError, match="rank must be a whole number, 1 or more; got 0"):
        with_lora(writer(), rank=0)
    with pytest.raises(ValueError, match="rank must be a whole number, 1 or more; got 0"):
        LoraLinear(torch.nn.Linear(2, 2), rank=0)


def test_thin_matrices_change_nothing_at_first_and_the_same_when_merged():
    layer, inputs = torch.nn.Linear(6, 5), torch.randn(3, 6)
    before = layer(inputs)
    lora = LoraLinear(layer, rank=2)
    assert torch.equal(lora(inputs), before)
    torch.nn.init.normal_(lora.up)
    beside = lora(inputs)
    assert not torch.allclose(beside, before) and torch.allclose(lora.merged()(inputs), beside, atol=1e-5)
    assert not layer.weight.requires_grad


def test_only_the_last_blocks_get_matrices():
    names = [name for name, weights in with_lora(writer(), 2, last=1).named_parameters() if weights.requires_grad]
    assert names and all(".h.5." in name for name in names)


def test_the_next_tokens_are_what_generate_takes(tokenizer):
    ids = tokenizer("The food", return_tensors="pt")["input_ids"]
    model = writer()
    tokens, probabilities = next_tokens(model, ids, 3)
    output = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=1)
    assert output[0, -1] == tokens[0] and probabilities.tolist() == sorted(probabilities.tolist(), reverse=True)


def test_tuning_helps_and_the_base_stays(tokenizer, tuned):
    model, rows, before = tuned
    assert perplexity(model, tokenizer, rows) < 0.7 * before
    with model.disable_adapter():
        assert math.isclose(perplexity(model, tokenizer, rows), before, rel_tol=1e-4)


def test_a_saved_adapter_is_small_loads_in_plain_peft_and_merges_into_a_plain_pipeline(tokenizer, tuned, tmp_path):
    model, _, _ = tuned
    said = answer(model, tokenizer, "Cold soup.", SYSTEM)
    model.save_pretrained(tmp_path / "adapter")
    assert (tmp_path / "adapter/adapter_model.safetensors").stat().st_size < 500_000
    there = PeftModel.from_pretrained(writer(), tmp_path / "adapter").eval()
    assert answer(there, tokenizer, "Cold soup.", SYSTEM) == said
    merged = there.merge_and_unload()
    assert answer(merged, tokenizer, "Cold soup.", SYSTEM) == said
    merged.save_pretrained(tmp_path / "merged")
    tokenizer.save_pretrained(tmp_path / "merged")
    talk = pipeline("text-generation", model=str(tmp_path / "merged"))
    assert talk("The food", max_new_tokens=4)[0]["generated_text"].startswith("The food")


def test_an_adapter_for_another_base_is_refused(tuned, tmp_path):
    tuned[0].save_pretrained(tmp_path)
    other = writer()
    other.name_or_path = "maha/other"
    with pytest.raises(ValueError, match="was trained on writer, and the model here is other"):
        load_lora(other, tmp_path)
    narrow = AutoModelForCausalLM.from_config(type(other.config)(n_embd=24, n_head=2, n_layer=6, vocab_size=50))
    narrow.name_or_path = WRITER
    with pytest.raises(ValueError, match="was trained on writer"):
        load_lora(narrow, tmp_path)
    assert load_lora(writer(), tmp_path).peft_config["default"].r == 4
    with pytest.raises(ValueError, match="holds no adapter"):
        load_lora(writer(), WRITER)


def test_too_little_memory_is_said_before_chat_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path))
    assert talker(Kit(source="kit"), free=0) == WRITER
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat/model.safetensors").touch()
    with pytest.raises(MemoryError, match=r"2\.5 GB"):
        talker(Kit(source="kit"), free=1_000_000_000)
    assert talker(Kit(source="kit"), free=3_000_000_000) == str(tmp_path / "chat")


def test_fetched_models_lie_beside_the_cache_of_the_hub(monkeypatch, tmp_path):
    monkeypatch.delenv("FTCOURSE_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    assert cache_folder() == tmp_path / "ftcourse"


@pytest.mark.long
def test_lora_comes_near_to_full_training_with_few_weights():
    """With the settings that `finetune` takes by itself for each."""
    kit = Kit()
    reviews = load_dataset(*kit.dataset("reviews"))
    tokenizer, scores = AutoTokenizer.from_pretrained(kit.model("encoder")), {}
    rows = {name: tokenize(subset(reviews[name], 1000), tokenizer, max_length=48) for name in ("train", "test")}
    collate = DataCollatorWithPadding(tokenizer)

    def right(prediction):
        return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}

    for method, rank in (("full", 0), ("lora", Options().rank)):
        set_seed(42)
        model = classifier(kit.model("encoder"), reviews["train"].features["label"].names)
        if rank:
            few, every = with_lora(model, rank).get_nb_trainable_parameters()
            assert few <= 0.03 * every
        train(model, rows["train"], collate=collate, config=default_config(None, method))
        scores[method] = evaluate(model, rows["test"], collate=collate, metrics=right)["accuracy"]
    assert scores["lora"] >= scores["full"] - 0.015, scores


@pytest.mark.long
def test_the_chapter_runs_on_chat(tmp_path):
    """Its own cells hold what it promises of `chat`: perplexity, merged and unmerged answers, TRL's loss."""
    folder = fetch("chat")
    nb = solved(nbformat.read(notebook("en", "13_adapters"), as_version=4))
    run_notebook(nb, tmp_path)
    assert all(verdict.startswith("✓") for verdict in verdicts(nb))
    loaded = next(cell for cell in nb.cells if cell.id == "chat-load")
    assert folder.name in loaded.outputs[0]["data"]["text/plain"]
