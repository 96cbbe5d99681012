"""Whisper as CTranslate2 stores it, read and written anew as transformers reads it."""

import json
import os
import struct
from pathlib import Path

from ftcourse.engine.messages import trouble

FORMAT, SPEC, REVISION = 6, "WhisperSpec", 3
KINDS = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
NORM = {"gamma": "weight", "beta": "bias"}
OUTER = {
    "conv1": "conv1",
    "conv2": "conv2",
    "layer_norm": "layer_norm",
    "embeddings": "embed_tokens",
    "position_encodings": "embed_positions",
}
# What the linear parts of a block hold: more than one where CTranslate2 has put them into one matrix.
ATTENTIONS = {
    "self_attention": ("self_attn", (("q_proj", "k_proj", "v_proj"), ("out_proj",))),
    "attention": ("encoder_attn", (("q_proj",), ("k_proj", "v_proj"), ("out_proj",))),
}
END, START, PREVIOUS = "<|endoftext|>", "<|startoftranscript|>", "<|startofprev|>"
NO_TIMESTAMPS, TASKS = "<|notimestamps|>", ("transcribe", "translate")


def read_variables(data: bytes) -> dict:
    """The arrays in a CTranslate2 file, by name. A file of another format, or one that is cut off, is a `ValueError`.

    >>> read_variables(b"PK")
    Traceback (most recent call last):
    ValueError: not a Whisper model in CTranslate2's format 6, or not all of it: ...
    """
    import numpy as np

    place = 0

    def read(form: str) -> tuple:
        nonlocal place
        values = struct.unpack_from(f"<{form}", data, place)
        place += struct.calcsize(f"<{form}")
        return values

    def read_text() -> str:
        nonlocal place
        (length,) = read("H")
        text = data[place : place + length - 1].decode()  # without the zero at its end
        place += length
        return text

    found = {}
    try:
        head = (read("I")[0], read_text(), read("I")[0])
        if head != (FORMAT, SPEC, REVISION):
            raise ValueError(head)
        for _ in range(read("I")[0]):
            name, shape = read_text(), read(f"{read('B')[0]}I")
            kind, size = read("BI")
            found[name] = np.frombuffer(data[place : place + size], KINDS[kind]).reshape(shape)
            place += size
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise trouble("whisper_damaged", format=FORMAT, reason=error) from None
    return found


def weights_of(variables: dict) -> dict:
    """The weights as `WhisperForConditionalGeneration` names them, joined matrices taken apart."""
    found = {}
    for name, values in variables.items():
        if values.ndim == 0:
            continue  # settings
        side, *path, kind = name.split("/")
        kind = "weight" if kind == "encodings" else NORM.get(kind, kind)
        if not path[0].startswith("layer_") or path[0] == "layer_norm":
            found[f"model.{side}.{OUTER[path[0]]}.{kind}"] = values
            continue
        start = f"model.{side}.layers.{path[0].removeprefix('layer_')}"
        block, part = path[1:]
        if block == "ffn":
            place = {"layer_norm": "final_layer_norm", "linear_0": "fc1", "linear_1": "fc2"}[part]
            found[f"{start}.{place}.{kind}"] = values
        elif part == "layer_norm":
            found[f"{start}.{ATTENTIONS[block][0]}_layer_norm.{kind}"] = values
        else:
            attention, linears = ATTENTIONS[block]
            joined = linears[int(part.removeprefix("linear_"))]
            for projection, piece in zip(joined, _pieces(values, len(joined)), strict=True):
                if (projection, kind) != ("k_proj", "bias"):  # all zeros: Whisper's keys have none
                    found[f"{start}.{attention}.{projection}.{kind}"] = piece
    return found


def _pieces(values, number: int) -> list:
    """A matrix, or a vector, cut into equal parts along its first axis."""
    size = len(values) // number
    return [values[place * size : (place + 1) * size] for place in range(number)]


def config_of(variables: dict, end: int, start: int):
    """The configuration that fits the shapes, and the numbers of two tokens."""
    from transformers import WhisperConfig

    def number_of_layers(side: str) -> int:
        return len({name.split("/")[1] for name in variables if name.startswith(f"{side}/layer_") and "ffn" in name})

    vocab_size, width = variables["decoder/embeddings/weight"].shape
    return WhisperConfig(
        vocab_size=vocab_size,
        d_model=width,
        num_mel_bins=variables["encoder/conv1/weight"].shape[1],
        encoder_layers=number_of_layers("encoder"),
        decoder_layers=number_of_layers("decoder"),
        encoder_attention_heads=int(variables["encoder/num_heads"]),
        decoder_attention_heads=int(variables["decoder/num_heads"]),
        encoder_ffn_dim=len(variables["encoder/layer_0/ffn/linear_0/bias"]),
        decoder_ffn_dim=len(variables["decoder/layer_0/ffn/linear_0/bias"]),
        max_source_positions=len(variables["encoder/position_encodings/encodings"]),
        max_target_positions=len(variables["decoder/position_encodings/encodings"]),
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=start,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        architectures=["WhisperForConditionalGeneration"],
        dtype="float32",
    )


def mend_merges(content: dict) -> dict:
    """A tokenizer's content with its first merge, which some conversions have lost: pieces are numbered like merges.

    >>> vocab = {letter: place for place, letter in enumerate("abc")} | {"ab": 3, "abc": 4}
    >>> mend_merges({"model": {"vocab": vocab, "merges": [["ab", "c"]]}})["model"]["merges"]
    [['a', 'b'], ['ab', 'c']]
    """
    model = content["model"]
    merges = [merge.split(" ") if isinstance(merge, str) else list(merge) for merge in model["merges"]]
    pieces = {place: piece for piece, place in model["vocab"].items()}
    first = model["vocab"]["".join(merges[0])] - 1
    lost = pieces.get(first, "")
    if len(lost) == 2 and first == sum(len(piece) == 1 for piece in model["vocab"]):
        merges.insert(0, list(lost))
    return {**content, "model": {**model, "merges": merges}}


def write_whisper(data: bytes, tokenizer: bytes, settings: dict, folder: str | os.PathLike) -> Path:
    """Write a folder that `from_pretrained` reads, from the bytes of a CTranslate2 model and the files beside it.

    `tokenizer` is the content of its `tokenizer.json`, `settings` that of its `config.json`. Raises `ValueError` where
    the bytes are no such model, or where weights are missing or have another shape.
    """
    import torch
    from safetensors.torch import save_file
    from tokenizers import Tokenizer
    from transformers import (
        GenerationConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    mended = json.dumps(mend_merges(json.loads(tokenizer)), ensure_ascii=False)
    pieces = Tokenizer.from_str(mended)
    folder, variables = Path(folder), read_variables(data)
    weights = {name: torch.from_numpy(values.copy()) for name, values in weights_of(variables).items()}
    end, start = pieces.token_to_id(END), pieces.token_to_id(START)
    config = config_of(variables, end, start)
    with torch.device("meta"):
        expected = WhisperForConditionalGeneration(config).state_dict()
    expected.pop("proj_out.weight")  # the word vectors once more
    shapes = {(name, tuple(tensor.shape)) for name, tensor in weights.items()}
    if wrong := sorted(shapes ^ {(name, tuple(tensor.shape)) for name, tensor in expected.items()}):
        raise trouble("whisper_weights", number=len(wrong), first=wrong[0])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(mended, encoding="utf-8")
    config.save_pretrained(folder)
    languages = {pieces.id_to_token(number): number for number in settings["lang_ids"]}
    GenerationConfig(
        alignment_heads=settings["alignment_heads"],
        begin_suppress_tokens=settings["suppress_ids_begin"],
        bos_token_id=end,
        decoder_start_token_id=start,
        eos_token_id=end,
        is_multilingual=True,
        lang_to_id={token: number for token, number in languages.items() if token},
        max_initial_timestamp_index=50,
        max_length=config.max_target_positions,
        no_timestamps_token_id=pieces.token_to_id(NO_TIMESTAMPS),
        pad_token_id=end,
        prev_sot_token_id=pieces.token_to_id(PREVIOUS),
        return_timestamps=False,
        suppress_tokens=settings["suppress_ids"],
        task_to_id={task: pieces.token_to_id(f"<|{task}|>") for task in TASKS},
    ).save_pretrained(folder)
    tokenizer = WhisperTokenizer.from_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(feature_size=config.num_mel_bins), tokenizer).save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder
