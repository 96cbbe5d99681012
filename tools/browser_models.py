"""The kit's checkpoints for a reader's browser: `python -m tools.browser_models` fills `build/live/`.

Two networks in ONNX, `encoder` and `opinions` (`stars` and `sentiment` in one), with the word vectors, in eight bits,
in a file that both share; the tokenizer; what runs them (`npm ci` in `site/live/`); the page; stored answers.
"""

import argparse
import contextlib
import gzip
import hashlib
import io
import json
import logging
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from torch import nn
from transformers import AutoModelForPreTraining, AutoModelForSequenceClassification
from transformers.utils import logging as quiet

from ftcourse.kit import Kit
from tools import live_answers
from tools.live_answers import examples, stored_answers
from tools.npm import packages
from tools.settings import BUILD, CATALOGUES, ROOT, languages, notebook

SOURCE = ROOT / "site" / "live"
OUT = BUILD / "live"
OPSET = 20
BLOCK = 32  # so many weights in a row share a factor
LEAST = 1024  # tensors of fewer bytes stay in the graph
VENDOR = {
    "onnxruntime-web/dist/ort.wasm.bundle.min.mjs": "ort.js",
    "@huggingface/tokenizers/dist/tokenizers.min.mjs": "tokenizers.js",
    "@huggingface/tokenizers/LICENSE": "tokenizers-LICENSE.txt",
}
RUNTIME = "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"
# What JavaScript reads in another way than the `tokenizers` library: a look-behind is matched from its end there, and
# Σ at the end of a word becomes ς.
PATTERNS = {r"(?<=(\p{L})\1)\1": r"(?<=\1(\p{L}))\1"}
SIGMA = {"type": "Replace", "pattern": {"String": "Σ"}, "content": "σ"}


class Encoder(nn.Module):
    """Mean vector of a text, what the head for masked words makes of the token at `place`, and all attentions."""

    def __init__(self, model):
        super().__init__()
        self.bert, self.transform = model.bert, model.cls.predictions.transform

    def forward(self, vectors, place):
        outputs = self.bert(inputs_embeds=vectors, output_attentions=True)
        last = outputs.last_hidden_state
        return last.mean(dim=1), torch.cat(outputs.attentions), self.transform(last[:, place][:, 0])


class Opinions(nn.Module):
    """Logits of `stars` and of `sentiment`, which are one network with two heads."""

    def __init__(self, stars, sentiment):
        super().__init__()
        self.bert, self.stars, self.sentiment = stars.bert, stars.classifier, sentiment.classifier

    def forward(self, vectors):
        pooled = self.bert(inputs_embeds=vectors).pooler_output
        return self.stars(pooled), self.sentiment(pooled)


def networks() -> tuple[nn.Module, nn.Module]:
    """The kit's encoder with its head for masked words, and its opinions. The word vectors are those of the encoder."""
    kit = Kit("en", source="kit")
    load = {"attn_implementation": "eager"}
    encoder = AutoModelForPreTraining.from_pretrained(kit.model("encoder"), **load).eval()
    stars, sentiment = (
        AutoModelForSequenceClassification.from_pretrained(kit.model(name), **load).eval()
        for name in ("stars", "sentiment")
    )
    for name, weights in sentiment.bert.state_dict().items():
        if not torch.equal(weights, stars.bert.state_dict()[name]):
            raise ValueError(f"stars and sentiment are two networks now: {name} differs")
    if not torch.equal(word_vectors(encoder), word_vectors(stars)):
        raise ValueError("encoder and stars have word vectors of their own now")
    return encoder, Opinions(stars, sentiment)


def word_vectors(model: nn.Module) -> torch.Tensor:
    """The table with a row a token."""
    return model.get_input_embeddings().weight.detach()


def in_eight_bits(table: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers from 0 to 255, of which 128 is subtracted, and a factor for each block of a row.

    With a factor a row, or a factor a row and one a column, probabilities were off by 0.02, now by 0.01. Layers in
    eight bits bring that to 0.02: good enough for guesses and vectors, too much for `opinions`. Activations in eight
    bits, as in dynamic quantization, would bring it to 0.3.

    >>> whole, factors = in_eight_bits(torch.arange(64.0).reshape(1, 64))
    >>> whole.shape, factors.shape, whole.min(), whole.max()
    ((1, 2, 32), (1, 2), np.uint8(128), np.uint8(255))
    """
    blocks = table.reshape(len(table), -1, BLOCK)
    factors = (blocks.abs().amax(dim=2) / 127).clamp(min=1e-12)
    whole = (blocks / factors.unsqueeze(2)).round() + 128
    return whole.to(torch.uint8).numpy(), factors.numpy()


def export(network: nn.Module, arguments: tuple, names: list[str], outputs: list[str]) -> onnx.ModelProto:
    """A network as an ONNX graph; of its first argument the second axis may be any long."""
    shapes = tuple({1: torch.export.Dim("tokens", min=2, max=512)} if n == 0 else {} for n in range(len(arguments)))
    for name in ("torch.onnx", "onnx_ir", "onnxscript", "onnxruntime.quantization.matmul_nbits_quantizer"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, arguments, dynamo=True, dynamic_shapes=shapes, input_names=names, output_names=outputs,
            opset_version=OPSET, verbose=False,
        )  # fmt: skip
    model = program.model_proto
    for node in model.graph.node:
        node.ClearField("metadata_props")  # which line of Python each comes from
    return model


def smaller(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with the weights of its products in eight bits, as `in_eight_bits` has them."""
    quantizer = MatMulNBitsQuantizer(model, bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=1)
    quantizer.process()
    return quantizer.model.model


def halved(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with its large weights in half precision, as the kit stores them; loading it widens them."""
    widened = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        exact = numpy_helper.to_array(tensor)
        half = exact.astype(np.float16)
        if exact.nbytes >= LEAST and np.array_equal(half.astype(np.float32), exact):
            widened.append(helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=TensorProto.FLOAT))
            tensor.CopyFrom(numpy_helper.from_array(half, f"{tensor.name}.half"))
    nodes = [*widened, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def with_words(model: onnx.ModelProto, words: tuple, bias: np.ndarray | None = None) -> onnx.ModelProto:
    """The graph, from token ids instead of their vectors; with `bias` its output `hidden` becomes logits of all tokens.

    The table is in it once, in eight bits, and serves at both ends.
    """
    whole, factors = words
    num_tokens, num_blocks, _ = whole.shape
    width = num_blocks * BLOCK
    graph = model.graph
    constants = {"words.whole": whole, "words.factors": factors, "words.middle": np.float32(128)}
    constants |= {"words.axis": np.array([3]), "words.shape": np.array([1, -1, width])}
    node = helper.make_node
    first = [
        node("Gather", ["words.whole", "ids"], ["words.found"]),
        node("Cast", ["words.found"], ["words.float"], to=TensorProto.FLOAT),
        node("Sub", ["words.float", "words.middle"], ["words.signed"]),
        node("Gather", ["words.factors", "ids"], ["words.factor"]),
        node("Unsqueeze", ["words.factor", "words.axis"], ["words.factor_of_block"]),
        node("Mul", ["words.signed", "words.factor_of_block"], ["words.blocks"]),
        node("Reshape", ["words.blocks", "words.shape"], ["vectors"]),
    ]
    last = []
    if bias is not None:
        constants["words.bias"] = bias
        sizes = {"K": width, "N": num_tokens, "bits": 8, "block_size": BLOCK, "accuracy_level": 1}
        weights = ["hidden", "words.whole", "words.factors"]
        last = [
            node("MatMulNBits", weights, ["words.product"], domain="com.microsoft", **sizes),
            node("Add", ["words.product", "words.bias"], ["guesses"]),
        ]
        outputs = [output for output in graph.output if output.name != "hidden"]
        del graph.output[:]
        graph.output.extend([*outputs, helper.make_tensor_value_info("guesses", TensorProto.FLOAT, [1, len(bias)])])
    graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)
    inputs = [entry for entry in graph.input if entry.name != "vectors"]
    del graph.input[:]
    graph.input.extend([helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "tokens"]), *inputs])
    return model


def split(model: onnx.ModelProto, own: str) -> tuple[bytes, dict[str, bytes]]:
    """The graph without its large tensors, and these as files: `words`, and those of its `own`."""
    files: dict[str, bytearray] = {"words": bytearray(), own: bytearray()}
    for tensor in model.graph.initializer:
        raw = numpy_helper.to_array(tensor).tobytes()
        if len(raw) < LEAST:
            continue
        name = "words" if tensor.name in ("words.whole", "words.factors") else own
        entries = {"location": name, "offset": len(files[name]), "length": len(raw)}
        files[name] += raw + bytes(-len(raw) % 64)
        for field in ("raw_data", "float_data", "int32_data", "int64_data"):
            tensor.ClearField(field)
        tensor.data_location = TensorProto.EXTERNAL
        del tensor.external_data[:]
        tensor.external_data.extend(
            onnx.StringStringEntryProto(key=key, value=str(value)) for key, value in entries.items()
        )
    return model.SerializeToString(), {name: bytes(content) for name, content in files.items()}


def models() -> dict[str, bytes]:
    """All files of the two networks by name, each as it is in the browser's memory."""
    encoder, opinions = networks()
    words = in_eight_bits(word_vectors(encoder))
    vectors = torch.randn(1, 7, encoder.config.hidden_size)
    place = torch.tensor([2])
    graph = export(Encoder(encoder), (vectors, place), ["vectors", "place"], ["mean", "attentions", "hidden"])
    bias = encoder.cls.predictions.bias.detach().numpy()
    encoder_graph, files = split(halved(with_words(smaller(graph), words, bias)), "encoder")
    graph = export(opinions, (vectors,), ["vectors"], ["stars", "sentiment"])
    opinions_graph, more = split(halved(with_words(graph, words)), "opinions")
    if files["words"] != more["words"]:
        raise ValueError("the word vectors of the two networks do not lie in the same order")
    return {**files, **more, "encoder.graph": encoder_graph, "opinions.graph": opinions_graph}


def tokenizer() -> bytes:
    """The kit's tokenizer, written so that JavaScript reads its patterns as Python does."""
    folder = Path(Kit("en", source="kit").model("encoder"))
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    normalizers = content["normalizer"]["normalizers"]
    for normalizer in normalizers:
        pattern = normalizer.get("pattern", {})
        if pattern.get("Regex") in PATTERNS:
            pattern["Regex"] = PATTERNS[pattern["Regex"]]
    normalizers.insert(next(n for n, entry in enumerate(normalizers) if entry["type"] == "Lowercase"), SIGMA)
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    return json.dumps({"tokenizer": content, "config": config}, ensure_ascii=False).encode()


def kept(folder: Path, sources: list[Path], make: Callable[[Path], None]) -> None:
    """Fills a folder anew where one of its sources has changed since the last time."""
    made_from = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in sources)).hexdigest()
    stamp = folder / "made-from"
    if stamp.exists() and stamp.read_text() == made_from:
        return
    print(f"Making {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make(folder)
    stamp.write_text(made_from)


def write_models(folder: Path) -> None:
    """Runtime, tokenizer and networks, packed, each under a name that changes with its content, and a list of them."""
    files = {"runtime": (SOURCE / "node_modules" / RUNTIME).read_bytes(), "tokenizer": tokenizer(), **models()}
    entries = {}
    for name, content in files.items():
        packed = gzip.compress(content, compresslevel=6, mtime=0)
        path = folder / f"{name}.{hashlib.sha256(content).hexdigest()[:12]}.bin"
        path.write_bytes(packed)
        entries[name] = {"path": f"{folder.name}/{path.name}", "bytes": len(packed)}
    (folder / "manifest.json").write_text(json.dumps(entries, indent=2) + "\n")


def write_examples(folder: Path) -> None:
    """What Python answers to the examples, a file a language."""
    for lang in languages():
        text = json.dumps(stored_answers(examples(lang)), ensure_ascii=False, separators=(",", ":"))
        (folder / f"{lang}.json").write_text(text, encoding="utf-8")


def build(out: Path = OUT) -> None:
    """Everything that the page needs, in a folder that any server of files can serve."""
    modules = packages(SOURCE, "build the site without live models")
    common = [ROOT / "constraints.txt", ROOT / "ftcourse" / "assets" / "manifest.json"]
    kept(out / "models", [*common, Path(__file__), SOURCE / "package-lock.json"], write_models)
    notebooks = [notebook(lang, chapter) for lang in languages() for chapter, _ in live_answers.CELLS.values()]
    kept(out / "examples", [*common, Path(live_answers.__file__), *notebooks], write_examples)
    for folder in ("vendor", "words"):
        (out / folder).mkdir(exist_ok=True)
    for path in SOURCE.iterdir():
        if path.suffix in (".js", ".css", ".html"):
            shutil.copy(path, out)
    for source, name in VENDOR.items():
        shutil.copy(modules / source, out / "vendor" / name)
    for lang in languages():
        shutil.copy(CATALOGUES / lang / "live.json", out / "words" / f"{lang}.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    quiet.set_verbosity_error()
    quiet.disable_progress_bar()
    build(out)
    for name, entry in json.loads((out / "models" / "manifest.json").read_text()).items():
        print(f"{entry['bytes'] / 1e6:6.2f} MB  {name}")


if __name__ == "__main__":
    main()
