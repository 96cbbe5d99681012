"""A classifier as an ONNX file, in 32 or in eight bits, made once and kept, and ONNX Runtime, which answers with it."""

import copy
import hashlib
import inspect
import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import SequenceClassifierOutput

from ftcourse.engine.batches import pad_rows
from ftcourse.engine.checks import known
from ftcourse.engine.contents import bytes_hash
from ftcourse.engine.fetch import cache_folder
from ftcourse.engine.folders import reason, sync, written_whole
from ftcourse.engine.inputs import position_limit
from ftcourse.engine.messages import trouble
from ftcourse.engine.processes import evaluating

BACKENDS = {"torch": ("no", "bf16", "auto"), "onnx": ("no", "int8")}  # and the precisions that each can
LIBRARIES = ("onnx", "onnxruntime", "onnxscript")
OPSETS = (23, 18)  # in the first, attention is one operation
BATCH_TOKENS = 512  # that go through a session at once: more do not fit into the caches of a core
FORM = 2  # of the files; another number makes them anew
LARGE = 9  # times the largest number of nearly all channels: a channel that is multiplied in 32 bits
SHORT = 32  # characters of a hash that stand in the name of a file
CLOSE = 1e-3  # how near the logits of the file are to PyTorch's


def check_backend(backend: str, precision: str) -> str:
    """The precision, where this backend is known and has it; or else a `ValueError`.

    >>> check_backend("onnx", "bf16")
    Traceback (most recent call last):
    ValueError: precision 'bf16' does not go with backend 'onnx'; torch: no, bf16, auto; onnx: no, int8
    """
    able = BACKENDS[known("backend", backend, tuple(BACKENDS))]
    every = tuple(dict.fromkeys(one for precisions in BACKENDS.values() for one in precisions))
    if known("precision", precision, every) not in able:
        able = "; ".join(f"{name}: {', '.join(precisions)}" for name, precisions in BACKENDS.items())
        raise trouble("backend_precision", backend=backend, precision=precision, known=able)
    return precision


def need_onnx() -> None:
    """Make sure that what makes and reads ONNX files is there; a `RuntimeError` says how to get it.

    >>> need_onnx()
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise trouble("no_onnx", RuntimeError, missing=", ".join(missing))


class OnnxClassifier(torch.nn.Module):
    """A session of ONNX Runtime that is called like the classifier of which its file was made."""

    device, batch_tokens = torch.device("cpu"), BATCH_TOKENS

    def __init__(self, session, model):
        super().__init__()
        self.session, self.config, self.reach = session, model.config, position_limit(model)
        self.names = [one.name for one in session.get_inputs()]

    def forward(self, **batch: torch.Tensor) -> SequenceClassifierOutput:
        given = {name: batch[name].numpy() for name in self.names}
        return SequenceClassifierOutput(logits=torch.from_numpy(self.session.run(None, given)[0]))


def onnx_classifier(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, precision: str = "no"
) -> OnnxClassifier:
    """The classifier as it is now, in ONNX Runtime, in 32 bits ("no") or with weights and activations in "int8".

    Its file is made once for each model, in seconds, and kept in the cache of the package. Raises `RuntimeError` where
    libraries are missing, `ValueError` where the model cannot be written as ONNX.
    """
    need_onnx()
    with quiet_export():
        name = f"{model_hash(model, [*tokenizer('a')])}-{precision}"
        folder = cache_folder() / "onnx"
        if file := kept(folder, name):
            with suppress(Exception):  # whatever ONNX Runtime may raise: made by another version, it is made anew
                return OnnxClassifier(open_session(file), model)
        with tempfile.TemporaryDirectory(prefix="ftcourse-onnx-", ignore_cleanup_errors=True) as work:
            file = export(model, tokenizer, Path(work))
            if precision == "int8":
                file = in_eight_bits(file, examples(model, tokenizer))
            keep(file, folder, name)
            return OnnxClassifier(open_session(file), model)


def model_hash(model: PreTrainedModel, inputs: list[str]) -> str:
    """What a model's file depends on, as a hash: its weights, its configuration, what it is given, and the libraries.

    >>> layer = torch.nn.Linear(1, 1)
    >>> before = model_hash(layer, [])
    >>> _ = layer.weight.data.add_(1)
    >>> model_hash(layer, []) == before
    False
    """
    config = model.config.to_dict() if hasattr(model, "config") else {}
    config.pop("_name_or_path", None)
    about = [FORM, inputs, type(model).__name__, *(version(name) for name in ("torch", "transformers", "onnxruntime"))]
    digest = hashlib.sha256(json.dumps([about, config], sort_keys=True, default=str).encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:SHORT]


def kept(folder: Path, name: str) -> Path | None:
    """The file of this name that was kept, where it is whole; one that is not is thrown away.

    >>> kept(Path("nowhere"), "file")
    """
    with suppress(OSError):
        for file in folder.glob(f"{name}.*.onnx"):
            if bytes_hash(file)[:SHORT] == file.name.split(".")[-2]:
                return file
            file.unlink()
    return None


def keep(file: Path, folder: Path, name: str) -> None:
    """Keep a copy of a file under this name, whole or not at all, with its hash in the name; not where nothing may be
    written, or there is no room."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{name}.{bytes_hash(file)[:SHORT]}.onnx"
        with written_whole(target, folder / f".{name}.{os.getpid()}.part") as part:
            part.write_bytes(file.read_bytes())
            sync(part)


@cache
def adds_up() -> bool:
    """Whether this processor adds up products of eight bits rightly: older ones cut off large sums of two.

    >>> adds_up() in (True, False)
    True
    """
    import onnxruntime
    from onnx import TensorProto, helper

    sides = {"a": (TensorProto.UINT8, [16, 64]), "b": (TensorProto.INT8, [64, 16])}
    given = [helper.make_tensor_value_info(name, *side) for name, side in sides.items()]
    result = [helper.make_tensor_value_info("sums", TensorProto.INT32, [16, 16])]
    graph = helper.make_graph([helper.make_node("MatMulInteger", [*sides], ["sums"])], "sums", given, result)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    arrays = {"a": np.full((16, 64), 255, np.uint8), "b": np.full((64, 16), 127, np.int8)}
    return bool((session.run(None, arrays)[0] == 255 * 127 * 64).all())


def open_session(file: Path):
    """A session for a file, on as many threads as PyTorch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    if not adds_up():
        options.add_session_config_entry("session.x64quantprecision", "1")  # slower, but right
    options.add_session_config_entry("session.force_spinning_stop", "1")  # the tokenizer's turn
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def examples(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[dict[str, torch.Tensor]]:
    """Two batches of different shapes, with padding, of what both the tokenizer gives and the model takes."""
    rng, batches, taken = np.random.default_rng(0), [], {*inspect.signature(model.forward).parameters}
    special, most = {*tokenizer.all_special_ids}, min(len(tokenizer), model.config.get_text_config().vocab_size)
    first, last = ([one] if one is not None else [] for one in (tokenizer.cls_token_id, tokenizer.sep_token_id))
    ids = [number for number in rng.permutation(most)[:200].tolist() if number not in special] or [0]
    for lengths in ((5, 9), (12, 3, 7)):
        rows = [[*first, *rng.choice(ids, length).tolist(), *last] for length in lengths]
        fill = {"token_type_ids": 0, "attention_mask": 1}
        columns = {name: [[value] * len(row) for row in rows] for name, value in fill.items()} | {"input_ids": rows}
        columns = {name: columns[name] for name in tokenizer("a") if name in columns and name in taken}
        batches.append(pad_rows(columns, range(len(lengths)), tokenizer))
    return batches


def export(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    """An ONNX file of the model in a folder, for batches of any shape, once its logits are found to be the model's.

    A `ValueError`, in one line, where there is none.
    """
    if model.device.type != "cpu" or model.dtype != torch.float32:
        model = copy.deepcopy(model).to("cpu", torch.float32)
    batches, file, error = examples(model, tokenizer), folder / "model.onnx", None
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    with evaluating(model):
        for opset in OPSETS:
            try:
                shapes = {name: free for name in batches[0]}
                options = {"dynamo": True, "dynamic_shapes": shapes, "opset_version": opset, "verbose": False}
                torch.onnx.export(model, kwargs=batches[0], **options).save(file, external_data=False)
                found = OnnxClassifier(open_session(file), model)
                with torch.inference_mode():
                    apart = [(found(**batch).logits - model(**batch).logits).abs().max().item() for batch in batches]
                if max(apart) < CLOSE:
                    return file
                error = ValueError(f"{max(apart):.3g}")
            except Exception as raised:  # whatever the exporter or ONNX Runtime may raise
                error = raised
    first = error
    while first.__cause__:
        first = first.__cause__
    raise trouble("not_onnx", model=type(model).__name__, reason=reason(first)[:200]) from error


def in_eight_bits(file: Path, batches: list[dict[str, torch.Tensor]]) -> Path:
    """The file beside another one that has its weights in eight bits, with a scale for each channel.

    `batches` are examples, in which channels are looked for that stay in 32 bits.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model, target = onnx.load(file), file.with_name("int8.onnx")
    model.graph.ClearField("value_info")
    how = {"per_channel": True, "op_types_to_quantize": ["MatMul", "Gemm", "Gather"]}
    how["nodes_to_exclude"] = set_apart(model, batches)
    usual = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(model, target, weight_type=QuantType.QInt8, extra_options=usual, **how)
    return target


def set_apart(model, batches: list[dict[str, torch.Tensor]]) -> list[str]:
    """Multiply the few channels whose numbers are much larger than all others by themselves, in an ONNX model.

    One scale for all would round the others away. Returns the names of the nodes that are to stay in 32 bits.
    """
    from onnx import helper, numpy_helper

    graph, apart = model.graph, []
    weights = {one.name: one for one in graph.initializer}
    products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    peaks = peaks_of(model, [*dict.fromkeys(node.input[0] for node in products)], batches)
    for node in products:
        given, peak, matrix = node.input[0], peaks[node.input[0]], numpy_helper.to_array(weights[node.input[1]])
        large = np.flatnonzero(peak > LARGE * np.quantile(peak, 0.99))
        if not len(large):
            continue
        rest, kept = matrix.copy(), np.ones(len(peak), np.float32)
        rest[large] = kept[large] = 0
        arrays = {"rest": rest, "kept": kept, "large": large, "rows": matrix[large]}
        name = {key: f"{node.name}.{key}" for key in (*arrays, "x", "few", "y", "more", "product")}
        graph.initializer.extend(numpy_helper.from_array(array, name[key]) for key, array in arrays.items())
        added = [
            helper.make_node("Mul", [given, name["kept"]], [name["x"]], f"{node.name}.mul"),
            helper.make_node("MatMul", [name["x"], name["rest"]], [name["y"]], f"{node.name}.rest"),
            helper.make_node("Gather", [given, name["large"]], [name["few"]], name["few"], axis=-1),
            helper.make_node("MatMul", [name["few"], name["rows"]], [name["more"]], name["product"]),
            helper.make_node("Add", [name["y"], name["more"]], [*node.output], f"{node.name}.add"),
        ]
        nodes = [*graph.node]
        place = nodes.index(node)
        nodes[place : place + 1] = added
        graph.ClearField("node")
        graph.node.extend(nodes)
        apart += [name["product"], name["few"]]
    return apart


def peaks_of(model, names: list[str], batches: list[dict[str, torch.Tensor]]) -> dict[str, np.ndarray]:
    """The largest numbers, by their size, that each channel of some tensors of an ONNX model has for the batches."""
    import onnxruntime
    from onnx import ModelProto, helper

    watched = ModelProto()
    watched.CopyFrom(model)
    there = {one.name for one in watched.graph.output}
    watched.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names if name not in there)
    session = onnxruntime.InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    inputs, peaks = [one.name for one in session.get_inputs()], {}
    for batch in batches:
        found = session.run(names, {name: batch[name].numpy() for name in inputs})
        for name, array in zip(names, found, strict=True):
            peak = np.abs(array).reshape(-1, array.shape[-1]).max(axis=0)
            peaks[name] = np.maximum(peaks.get(name, 0), peak)
    return peaks


@contextmanager
def quiet_export() -> Iterator[None]:
    """While it lasts, what the exporter and the quantizer remark on their own work stays unsaid.

    >>> with quiet_export():
    ...     warnings.warn("…", stacklevel=1)
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
