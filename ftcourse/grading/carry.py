"""Carries answers from the process that made them to the one that judges them: as numbers, texts, tables and weights,
built anew on arrival, so that nothing of the answer's code comes along. Its functions stay where they are, and are
called there."""

import builtins
import dataclasses
import io
import json
import pickle
import struct
import sys
import time
from collections.abc import Mapping, Sequence, Set
from numbers import Integral, Real

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from datasets import Dataset, Features
from PIL import Image
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

LARGEST = 1_000_000_000  # bytes of one message
FEATURES = {"Value", "ClassLabel", "List", "LargeList", "Sequence"}
NEVER = ("quantization_config", "auto_map", "attn_implementation", "_attn_implementation", "_name_or_path")
STEPS = {"__call__", "backward", "item", "detach", "step", "zero_grad", "train", "eval"}


class Gone(ConnectionError):
    """The other process has ended, sends nothing in time, or nothing that can be read."""


def receive_bytes(sock, number: int, deadline: float) -> bytes:
    """So many bytes from a socket; `TimeoutError` where they do not come in time, `Gone` where none can come."""
    found = bytearray()
    while len(found) < number:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(None if left == float("inf") else left)
        try:
            part = sock.recv(min(number - len(found), 1 << 20))
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone(str(error)) from None
        if not part:
            raise Gone("ended")
        found += part
    return bytes(found)


def send(sock, message: object, blobs: Sequence[bytes] = ()) -> None:
    """Sends what JSON can say, and pieces of bytes."""
    text = json.dumps([message, [len(blob) for blob in blobs]]).encode()
    try:
        sock.sendall(struct.pack("!Q", len(text)) + text)
        for blob in blobs:
            sock.sendall(blob)
    except OSError as error:
        raise Gone(str(error)) from None


def receive(sock, deadline: float, largest: int = LARGEST) -> tuple[object, list[bytes]]:
    """What `send` sent, from a process that may not be trusted: read as JSON and bytes, no larger than `largest`."""
    (size,) = struct.unpack("!Q", receive_bytes(sock, 8, deadline))
    if size > min(largest, 100_000_000):
        raise Gone("length")
    try:
        message, sizes = json.loads(receive_bytes(sock, size, deadline))
        if not all(isinstance(one, int) and one >= 0 for one in sizes) or sum(sizes) > largest:
            raise ValueError
    except (ValueError, TypeError, RecursionError):
        raise Gone("unreadable") from None
    return message, [receive_bytes(sock, one, deadline) for one in sizes]


class Packer:
    """What stands for a value in JSON, with its larger parts as bytes. Functions stay here, in `functions`.

    `names` are those of objects that the other side has, too, by their `id`.

    >>> Packer({}).pack((1, "a", ...))
    {'kind': 'tuple', 'items': [1, 'a', {'kind': 'dots'}]}
    """

    def __init__(self, names: Mapping[int, str], functions: list | None = None):
        self.names, self.blobs = names, []
        self.functions = [] if functions is None else functions

    def blob(self, content: bytes) -> int:
        """Keeps bytes, and gives their number."""
        self.blobs.append(content)
        return len(self.blobs) - 1

    def pack(self, value: object) -> object:
        """What stands for a value."""
        if value is None or type(value) in (bool, int, str):
            return value
        if value is ...:
            return {"kind": "dots"}
        if type(value) is float:
            return {"kind": "float", "text": repr(value)}
        if isinstance(value, Away):
            return {"kind": "back", "number": value._number}
        if isinstance(value, np.generic | np.ndarray):
            return self.pack_array(value)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, Integral):
            return int(value)
        if isinstance(value, Real):
            return self.pack(float(value))
        if isinstance(value, bytes):
            return {"kind": "bytes", "blob": self.blob(bytes(value))}
        for types, how in self.known():
            if isinstance(value, types):
                return how(value)
        return self.pack_other(value)

    def known(self):
        """Types with a way of their own."""
        return (
            (torch.Tensor, lambda value: {"kind": "tensor", "array": self.pack(tensor_array(value))}),
            (pd.DataFrame, self.pack_frame),
            (pd.Series | pd.Index, lambda value: {"kind": "series", "items": self.pack(value.tolist())}),
            (Dataset, self.pack_dataset),
            (Image.Image, self.pack_image),
            (PreTrainedTokenizerBase, self.pack_tokenizer),
            (PreTrainedModel, self.pack_model),
            (Trainer, self.pack_trainer),
            (Mapping, lambda value: self.pack_pairs(value.items())),
            (Set, lambda value: {"kind": "set", "items": [self.pack(one) for one in value]}),
            (tuple, lambda value: {"kind": "tuple", "items": [self.pack(one) for one in value]}),
            (Sequence, lambda value: {"kind": "list", "items": [self.pack(one) for one in value]}),
        )

    def pack_pairs(self, pairs) -> dict:
        """A dictionary, or whatever gives pairs."""
        return {"kind": "dict", "items": [[self.pack(key), self.pack(value)] for key, value in pairs]}

    def pack_array(self, value) -> dict:
        """An array, or a number of NumPy's."""
        if value.dtype.hasobject:
            return self.pack(value.tolist())
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        return {"kind": "array" if isinstance(value, np.ndarray) else "scalar", "blob": self.blob(buffer.getvalue())}

    def pack_table(self, table: pa.Table) -> int:
        """A table of Arrow's."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return self.blob(sink.getvalue().to_pybytes())

    def pack_frame(self, value: pd.DataFrame) -> dict:
        """A data frame, without its index."""
        return {"kind": "frame", "blob": self.pack_table(pa.Table.from_pandas(value, preserve_index=False))}

    def pack_dataset(self, value: Dataset) -> dict:
        """A data set with its features."""
        table = value.with_format("arrow")[:]
        return {"kind": "dataset", "blob": self.pack_table(table), "features": value.features.to_dict()}

    def pack_image(self, value: Image.Image) -> dict:
        """An image, pixel by pixel."""
        mode = value.mode if value.mode in ("1", "L", "RGB", "RGBA") else "RGBA"
        value = value.convert(mode)
        return {"kind": "image", "mode": mode, "size": [*value.size], "blob": self.blob(value.tobytes())}

    def pack_tokenizer(self, value) -> dict:
        """A tokenizer, as the text of tokenizer.json."""
        special = {key: str(token) for key, token in value.special_tokens_map.items() if isinstance(token, str)}
        special |= {"model_input_names": [*value.model_input_names], "padding_side": value.padding_side}
        return {"kind": "tokenizer", "blob": self.blob(value.backend_tokenizer.to_str().encode()), "special": special}

    def pack_model(self, value: PreTrainedModel) -> dict:
        """A model: the name of its class, its configuration, its weights, and which of them learn."""
        weights = {name: self.pack(weight.detach()) for name, weight in value.state_dict().items()}
        learn = {name: weight.requires_grad for name, weight in value.named_parameters()}
        config = {key: one for key, one in value.config.to_dict().items() if key not in NEVER}
        text = json.dumps(config, default=str)
        known = {"name": self.names.get(id(value)), "training": value.training}
        return {
            "kind": "model",
            "type": type(value).__name__,
            "config": text,
            "weights": weights,
            "learn": learn,
        } | known

    def pack_trainer(self, value: Trainer) -> dict:
        """A trainer: its model, what it learned from, and how many steps it says it made."""
        parts = {"model": value.model, "train_dataset": value.train_dataset, "steps": value.state.global_step}
        return {"kind": "trainer"} | {name: self.pack(part) for name, part in parts.items()}

    def pack_other(self, value: object) -> dict:
        """An object that the other side has; a record; a function; or else nothing but the name of its type."""
        name = type(value).__name__
        if id(value) in self.names:
            return {"kind": "same", "name": self.names[id(value)]}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: self.pack(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return {"kind": "record", "type": name, "fields": fields}
        if "keras" in sys.modules and (packed := self.pack_keras(value)):
            return packed
        if callable(value):
            self.functions.append(value)
            name = str(getattr(value, "__name__", name))
            return {"kind": "function", "number": len(self.functions) - 1, "name": name}
        return {"kind": "thing", "type": name}

    def pack_keras(self, value: object) -> dict | None:
        """A model of Keras as its weights, a schedule as a function; None for anything else."""
        from ftcourse.engine.backend import keras

        if isinstance(value, keras.Model):
            steps = int(value.optimizer.iterations) if value.optimizer else 0
            return {"kind": "keras", "weights": [self.pack(one) for one in value.get_weights()], "steps": steps}
        if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
            self.functions.append(lambda step: float(value(step)))
            return {"kind": "schedule", "number": len(self.functions) - 1}
        return None


def tensor_array(value: torch.Tensor) -> np.ndarray:
    """A tensor's numbers; those of half precision as float32, which NumPy has.

    >>> tensor_array(torch.tensor([0.5], dtype=torch.bfloat16))
    array([0.5], dtype=float32)
    """
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


class Unpacker:
    """Builds values from what stands for them. What is called goes through `away`: a function's number, its arguments.

    `known` are the objects that both sides have, by name; `back` those that were lent to the other side.

    >>> Unpacker([]).unpack({"kind": "tuple", "items": [1, {"kind": "float", "text": "nan"}]})
    (1, nan)
    """

    def __init__(self, blobs: Sequence[bytes], known: Mapping[str, object] | None = None, away=None, back=()):
        self.blobs, self.known, self.away, self.back = blobs, known or {}, away, back

    def unpack(self, tree: object) -> object:
        """The value that something stands for; `Gone` where it stands for none."""
        if tree is None or isinstance(tree, bool | int | str):
            return tree
        try:
            return getattr(self, f"make_{tree['kind']}")(tree)
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise Gone("unreadable") from error

    def array(self, tree) -> np.ndarray:
        """An array from its bytes."""
        return np.load(io.BytesIO(self.blobs[tree["blob"]]), allow_pickle=False)

    def table(self, tree) -> pa.Table:
        """A table of Arrow's from its bytes."""
        return pa.ipc.open_stream(self.blobs[tree["blob"]]).read_all()

    def make_dots(self, tree):
        return ...

    def make_float(self, tree):
        return float(tree["text"])

    def make_bytes(self, tree):
        return self.blobs[tree["blob"]]

    def make_back(self, tree):
        return self.back[tree["number"]]

    def make_array(self, tree):
        return self.array(tree)

    def make_scalar(self, tree):
        return self.array(tree)[()]

    def make_tensor(self, tree):
        return torch.from_numpy(np.array(self.unpack(tree["array"])))

    def make_list(self, tree):
        return [self.unpack(one) for one in tree["items"]]

    def make_tuple(self, tree):
        return tuple(self.make_list(tree))

    def make_set(self, tree):
        return set(self.make_list(tree))

    def make_dict(self, tree):
        return {self.unpack(key): self.unpack(value) for key, value in tree["items"]}

    def make_series(self, tree):
        return pd.Series(self.unpack(tree["items"]))

    def make_frame(self, tree):
        return self.table(tree).to_pandas(ignore_metadata=True)

    def make_dataset(self, tree):
        def check(feature: object) -> None:
            for one in feature.values() if isinstance(feature, dict) else ():
                check(one)
            if isinstance(feature, dict) and isinstance(feature.get("_type"), str) and feature["_type"] not in FEATURES:
                raise Gone("unreadable")

        check(tree["features"])
        return Dataset(self.table(tree).replace_schema_metadata(None)).cast(Features.from_dict(tree["features"]))

    def make_image(self, tree):
        return Image.frombytes(tree["mode"], tuple(tree["size"]), self.blobs[tree["blob"]])

    def make_tokenizer(self, tree):
        from tokenizers import Tokenizer
        from transformers import PreTrainedTokenizerFast

        made = Tokenizer.from_str(self.blobs[tree["blob"]].decode())
        return PreTrainedTokenizerFast(tokenizer_object=made, **tree["special"])

    def make_model(self, tree):
        import transformers

        kind = getattr(transformers, tree["type"], None)
        if not (isinstance(kind, type) and issubclass(kind, PreTrainedModel)):
            return self.make_thing(tree)
        weights = {name: self.unpack(weight) for name, weight in tree["weights"].items()}
        same = self.known.get(tree["name"] or "")
        if type(same) is kind and {n: w.shape for n, w in same.state_dict().items()} == {
            n: w.shape for n, w in weights.items()
        }:
            model = same  # the answer is the very model of the chapter, changed or not
        else:
            config = json.loads(tree["config"])
            config = transformers.AutoConfig.for_model(
                config["model_type"], **{k: v for k, v in config.items() if k not in (*NEVER, "model_type")}
            )
            model = kind(config)
        model.load_state_dict(weights)
        for name, weight in model.named_parameters():
            weight.requires_grad_(bool(tree["learn"].get(name, True)))
        return model.train(bool(tree["training"]))

    def make_trainer(self, tree):
        import evaluate
        from transformers import AutoTokenizer, DataCollatorWithPadding, TrainingArguments

        from ftcourse.kit import Kit
        from ftcourse.trainer import metrics_for

        kit = Kit()
        made = Trainer(
            self.unpack(tree["model"]),
            TrainingArguments(report_to="none", disable_tqdm=True, use_cpu=True, per_device_eval_batch_size=32),
            data_collator=DataCollatorWithPadding(AutoTokenizer.from_pretrained(kit.model("encoder"))),
            train_dataset=self.unpack(tree["train_dataset"]),
            compute_metrics=metrics_for(evaluate.load(*kit.metric("accuracy"))),
        )
        made.state.global_step = self.unpack(tree["steps"])
        return made

    def make_same(self, tree):
        return self.known[tree["name"]]

    def make_thing(self, tree):
        return type(tree["type"], (), {})()

    def make_record(self, tree):
        made = self.make_thing(tree)
        for name, value in tree["fields"].items():
            setattr(made, name, self.unpack(value))
        return made

    def make_function(self, tree):
        return Function(str(tree["name"])[:100], int(tree["number"]), self.away)

    def make_schedule(self, tree):
        from ftcourse.engine.backend import keras

        class Schedule(keras.optimizers.schedules.LearningRateSchedule):
            def __call__(schedule, step):
                return self.away(int(tree["number"]), (step,), {})

        return Schedule()

    def make_keras(self, tree):
        """The chapter's own model, or one like it, with the answer's weights."""
        from ftcourse.engine.backend import keras

        weights = [self.unpack(one) for one in tree["weights"]]
        for model in self.known.values():
            if not isinstance(model, keras.Model) or model.optimizer is None:
                continue
            if [one.shape for one in model.get_weights()] == [one.shape for one in weights]:
                model.set_weights(weights)
                model.optimizer.iterations.assign(int(tree["steps"]))
                return model
        return self.make_thing({"type": "Model"})


class Function:
    """A function of the answer, called where it is."""

    def __init__(self, name: str, number: int, away):
        self._name, self._number, self._away = name, number, away

    def __call__(self, *words, **named):
        return self._away(self._number, words, named)

    def __repr__(self) -> str:
        return f"<function {self._name}>"


def failed(name: str, text: str) -> Exception:
    """An error like the one that a function raised in the other process.

    >>> failed("ZeroDivisionError", "division by zero")
    ZeroDivisionError('division by zero')
    """
    kind = getattr(builtins, name, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = type(name, (Exception,), {})
    try:
        return kind(text)
    except Exception:  # a kind that wants more than a text
        return RuntimeError(f"{name}: {text}")


class Lender(pickle.Pickler):
    """Arguments for a function in the other process. Models, optimizers and what learns are lent, not sent."""

    def __init__(self, buffer, lent: list):
        super().__init__(buffer)
        self.lent = lent

    def persistent_id(self, value: object) -> int | None:
        learning = isinstance(value, torch.Tensor) and (value.requires_grad or value.grad_fn is not None)
        if not (learning or isinstance(value, torch.nn.Module | torch.optim.Optimizer)):
            return None
        if not any(value is one for one in self.lent):
            self.lent.append(value)
        return next(number for number, one in enumerate(self.lent) if one is value)


class Borrower(pickle.Unpickler):
    """Reads arguments; for what was lent, something that asks its owner."""

    def __init__(self, buffer, ask):
        super().__init__(buffer)
        self.ask = ask

    def persistent_load(self, number: int) -> "Away":
        return Away(number, self.ask)


class Away:
    """Something that is in the other process; the few things that a training step does with it are done there."""

    def __init__(self, number: int, ask):
        self._number, self._ask = number, ask

    def __call__(self, *words, **named):
        return self._ask(self._number, "__call__", words, named)

    def __getattr__(self, name: str):
        if name not in STEPS:
            raise AttributeError(name)
        return lambda *words, **named: self._ask(self._number, name, words, named)


def lend(value: object, lent: list) -> bytes:
    """A value as bytes for the other process.

    >>> pickle.loads(lend([1, 2], []))
    [1, 2]
    """
    buffer = io.BytesIO()
    Lender(buffer, lent).dump(value)
    return buffer.getvalue()
