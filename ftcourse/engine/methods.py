"""How much of a model is trained: all of it, its head over vectors that were made once, or LoRA's thin matrices."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel

from ftcourse.engine.adapters import Adapter, new_parts
from ftcourse.engine.batches import Collate, token_lengths
from ftcourse.engine.checkpoint import read_checkpoint, write_checkpoint
from ftcourse.engine.cleaning import ONE_LABEL, SEVERAL, Prepared
from ftcourse.engine.columns import ROW_WEIGHT, checked_data
from ftcourse.engine.forward import evaluation_batches, probabilities_of
from ftcourse.engine.launch import as_the_first, process_number
from ftcourse.engine.models import on_device
from ftcourse.engine.precision import choose_precision
from ftcourse.engine.processes import evaluating
from ftcourse.engine.progress import watched
from ftcourse.engine.reading import mean_rows
from ftcourse.engine.windows import TEXT

PLANS = {"head": {"epochs": 20, "batch_size": 64, "lr": 1e-2}}
LORA_LR = 10  # times the learning rate for all weights
RIVAL_EPOCHS = 3  # with fewer, a head beside the training of all weights would take more than a seventh of its time
RIVAL_BYTES = 2**29  # the most memory that vectors of all rows may take, so that there is a head beside it
CHUNK = 1024  # rows whose vectors are kept in one file
PASSES = 3  # what an epoch of training all weights takes in runs of the body: one forward, twice that back


def suited(config, method: str):
    """A configuration for training all weights, changed to suit another method: a new head learns at larger steps.

    >>> from ftcourse.loop import TrainConfig
    >>> suited(TrainConfig(lr=5e-5), "lora").lr, suited(TrainConfig(epochs=3), "head").epochs
    (0.0005, 20)
    """
    return replace(config, lr=LORA_LR * config.lr) if method == "lora" else replace(config, **PLANS.get(method, {}))


EPOCHS = 3  # as in chapter 08's `default_config`
FEW, MORE_EPOCHS, FEWER_AT_ONCE = 150, 10, 4  # three epochs of few rows are too few steps to learn from all of them


def more_steps(config, rows: int, method: str = "full", named: Collection[str] = ()):
    """The same configuration or, for few rows, one with more and smaller steps: the learning rate shrinks as the batch
    does (https://arxiv.org/abs/1706.02677). What was `named` stays; a head alone has a plan of its own.

    >>> from ftcourse.loop import TrainConfig
    >>> plan = more_steps(TrainConfig(epochs=3, batch_size=16, lr=4e-4), 100)
    >>> plan.epochs, plan.batch_size, plan.lr
    (10, 4, 0.0001)
    """
    if rows >= FEW or method == "head":
        return config
    changes = {} if "epochs" in named else {"epochs": MORE_EPOCHS}
    if not {"batch_size", "lr"} & {*named}:
        changes |= {"batch_size": FEWER_AT_ONCE, "lr": config.lr * FEWER_AT_ONCE / config.batch_size}
    return replace(config, **changes)


def weighty_layers(model: PreTrainedModel, parts: Sequence[str]) -> list[torch.nn.Module]:
    """The layers of some parts of a model that have weights of their own."""
    layers = [layer for part in parts for layer in model.get_submodule(part).modules()]
    return [layer for layer in layers if [*layer.parameters(recurse=False)]]


class Listener:
    """Runs batches through a model, and tells the vectors that its head gets.

    >>> from ftcourse.engine.models import start_model
    >>> from ftcourse.kit import Kit
    >>> listener = Listener(start_model(Kit().model("encoder"), ["bad", "good"], 42)[0])
    >>> listener.vectors({"input_ids": torch.tensor([[2, 9, 3]] * 2)})[0].shape
    torch.Size([2, 384])
    """

    def __init__(self, model: PreTrainedModel):
        self.model, self.parts = model, new_parts(model)
        self.given = self.made = self.body = None

    def hear(self, layer, inputs: tuple, output) -> None:
        """Keeps what the body returns, and what the first layer of the head gets and returns."""
        if layer is self.model.base_model:
            self.body = output
        elif self.given is None:
            self.given, self.made = inputs[0], output

    @torch.inference_mode()
    def vectors(self, batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The head's vectors and the logits; of all tokens' vectors, that of the token that the logits belong to."""
        layers, self.given = [self.model.base_model, *weighty_layers(self.model, self.parts)], None
        hooks = [layer.register_forward_hook(self.hear) for layer in layers]
        try:
            logits = self.model(**batch).logits
        finally:
            for hook in hooks:
                hook.remove()
        found = self.given
        if found.ndim == 3:
            place = (self.made - logits[:, None]).abs().sum(dim=-1).argmin(dim=-1)
            found = found[torch.arange(len(found)), place]
        return found, logits


class HeadOnly(torch.nn.Module):
    """A model's head over vectors that are there already; `row` says which, in place of tokens.

    The model's own code runs, but for its body, which hands out the vectors. So the head that is trained here is the
    model's own, whatever layers it has.
    """

    main_input_name = "row"

    def __init__(self, listener: Listener, vectors: torch.Tensor):
        super().__init__()
        self.whole, self.vectors = [listener.model], vectors  # in a list: the body is no part of this module
        model, body, self.output = listener.model, listener.model.base_model, listener.body
        self.config, self.num_labels = model.config, model.config.num_labels
        self.beside = torch.nn.ModuleDict({n: part for n, part in model.named_children() if part is not body})
        prefix = f"{model.base_model_prefix}.pooler"
        self.pooler = body.pooler if any(f"{part}.".startswith(f"{prefix}.") for part in listener.parts) else None

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def body(self, vectors: torch.Tensor):
        """What the body would return, as far as the head looks at it."""
        found = {"last_hidden_state": vectors[:, None]}
        if getattr(self.output, "pooler_output", None) is not None:
            found["pooler_output"] = self.pooler(vectors[:, None]) if self.pooler else vectors
        return type(self.output)(**found)

    @contextmanager
    def in_place_of_body(self, vectors: torch.Tensor):
        """While it lasts, the model's body returns what `body` does."""
        body = self.whole[0].base_model
        body.forward = lambda *_, **__: self.body(vectors)
        try:
            yield
        finally:
            del body.forward

    def forward(self, row: torch.Tensor, labels: torch.Tensor | None = None):
        vectors = self.vectors[row.to(self.vectors.device)].to(self.device)
        pad, end = self.config.pad_token_id, getattr(self.config, "eos_token_id", None)
        token = next(token for token in (end, 0, 1) if isinstance(token, int) and token != pad)
        tokens = torch.full((len(row), 1), token, device=self.device)
        with self.in_place_of_body(vectors):
            return self.whole[0](input_ids=tokens, attention_mask=torch.ones_like(tokens), labels=labels)


def row_batch(rows: list[dict]) -> dict[str, torch.Tensor]:
    """Numbers of rows and their labels as a batch.

    >>> row_batch([{"row": 3, "labels": 0}, {"row": 5, "labels": 1}])
    {'row': tensor([3, 5]), 'labels': tensor([0, 1])}
    """
    batch = {name: torch.from_numpy(np.array([row[name] for row in rows])) for name in rows[0]}
    return {name: values.float() if values.is_floating_point() else values for name, values in batch.items()}


def numbered(part: Dataset, first: int) -> Dataset:
    """The labels of a tokenized part, and numbers of rows from `first`.

    >>> numbered(Dataset.from_dict({"input_ids": [[2, 3]], "labels": [1]}), 5)[0]
    {'labels': 1, 'row': 5}
    """
    kept = [name for name in ("labels", ROW_WEIGHT) if name in part.column_names]
    return part.select_columns(kept).add_column("row", np.arange(first, first + len(part)))


def kept_vectors(path: Path | None, make: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, float]:
    """Vectors, and the seconds they took: those in a file, or made and then kept there, where there is a place.

    Processes that were launched together read or make them together, and the first one keeps them.

    >>> kept_vectors(None, lambda: torch.zeros(2, 3))[0].shape
    torch.Size([2, 3])
    """
    kept = None
    if path and path.is_file():
        with suppress(ValueError):  # damaged: made anew
            kept = read_checkpoint(path)
    if as_the_first(kept is not None):
        tensors, state = kept
        return tensors["vectors"], state["seconds"]
    started = time.perf_counter()
    vectors, seconds = make(), time.perf_counter() - started
    if path and not process_number():
        write_checkpoint(path, {"vectors": vectors.contiguous()}, {"seconds": seconds})
    return vectors, seconds


def made_vectors(
    listener: Listener,
    data: Dataset,
    collate: Collate,
    in_half: bool,
    keep: Path | None = None,
    name: str = "0",
) -> tuple[torch.Tensor, float]:
    """The vectors of all rows, and the seconds they took. Some rows at a time are kept in a folder, for who goes on."""
    device = listener.model.device
    half = torch.autocast(device.type, torch.bfloat16, enabled=in_half)
    order, vectors, spent = np.argsort(-token_lengths(data), kind="stable"), None, 0.0
    chunks = [order[start : start + CHUNK] for start in range(0, len(order), CHUNK)]
    for number, rows in enumerate(tqdm(chunks, leave=False, disable=len(chunks) < 2 or not watched())):

        def make(rows=rows) -> torch.Tensor:
            batches = evaluation_batches(data.select(rows), collate, 64, device)
            with half:
                parts = [(places, listener.vectors(batch)[0].float().cpu()) for places, batch in batches]
            places = np.argsort([place for places, _ in parts for place in places])
            return torch.cat([part for _, part in parts])[torch.from_numpy(places)]

        found, seconds = kept_vectors(keep and keep / f"vectors-{name}-{number:06}.safetensors", make)
        vectors = torch.zeros(len(data), found.shape[1]) if vectors is None else vectors
        vectors[torch.from_numpy(rows)], spent = found, spent + seconds
    return vectors, spent


def head_over(
    model: PreTrainedModel, parts: Sequence[Dataset], collate: Collate, config, keep: Path | None = None
) -> HeadOnly | None:
    """The model's head over the vectors of all rows of the parts, one after the other; the body runs once, in the
    precision of `config`.

    None where the head cannot be parted from the body: what it makes of the vectors must be what the model answers.
    """
    listener = Listener(model)
    prefix = model.base_model_prefix
    inside = [part for part in listener.parts if part.startswith(f"{prefix}.")]
    if model.base_model is model or any(not part.startswith(f"{prefix}.pooler") for part in inside):
        return None
    parts = [checked_data(model, part, collate, "train_data") for part in parts]
    file = keep / "vectors-in-half.safetensors" if keep and config.precision == "auto" else None
    in_half, _ = kept_vectors(file, lambda: torch.tensor(choose_precision(model, parts[0], collate, config) == "bf16"))
    with evaluating(model):
        _, sample = next(evaluation_batches(parts[0].select(range(min(4, len(parts[0])))), collate, 4, model.device))
        try:
            vectors, logits = listener.vectors(sample)
            with torch.inference_mode():
                again = HeadOnly(listener, vectors)(torch.arange(len(vectors))).logits
            same = logits.std() > 0 and torch.allclose(again, logits, rtol=1e-3, atol=1e-3 * logits.std().item())
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError, StopIteration):
            same = False
        if not same:
            return None
        made = [made_vectors(listener, part, collate, in_half.item(), keep, f"{n}") for n, part in enumerate(parts)]
    head = HeadOnly(listener, torch.cat([vectors for vectors, _ in made]))
    head.seconds = sum(seconds for _, seconds in made)
    return head


class Learner:
    """A model that is trained by one of the `METHODS`; knows afterwards what is to be saved and told.

    >>> from ftcourse.engine.models import start_model
    >>> from ftcourse.engine.options import Options
    >>> from ftcourse.engine.problems import Way
    >>> from ftcourse.kit import Kit
    >>> learner = Learner(start_model(Kit().model("encoder"), ["bad", "good"], 42)[0], Options(), Way(None, None, None))
    >>> learner.seconds
    {}
    """

    def __init__(self, model: PreTrainedModel, options, way):
        self.model, self.options, self.way = model, options, way
        self.seconds: dict[str, float] = {}
        self.rival: np.ndarray | None = None  # what a head alone makes of the rows for validation
        self.adapter: Adapter | None = None

    def train(self, train: Callable, *parts: Dataset, collate: Collate, config, output_dir: Path, **how):
        """The history of a training by chapter 06's `train`, with the same arguments."""
        on_device(self.model)
        how |= {"collate": collate, "config": config, "output_dir": output_dir}
        Path(output_dir).mkdir(parents=True, exist_ok=True)
        return getattr(self, f"train_{self.options.method}")(train, parts, **how)

    def train_full(self, train: Callable, parts: Sequence[Dataset], **how):
        """Trains all weights; before, a head alone, from the same start, for the report."""
        config, rows = how["config"], sum(map(len, parts))
        room = 4 * rows * (getattr(self.model.config, "hidden_size", None) or 0) <= RIVAL_BYTES
        if config.epochs >= RIVAL_EPOCHS and config.max_steps is None and room:
            self.rival = self.head_answers(train, parts, **how)
        return train(self.model, *parts, **how)

    def train_head(
        self, train: Callable, parts: Sequence[Dataset], *, collate: Collate, config, output_dir: Path, **how
    ):
        """Trains the head on vectors; where it cannot be parted from the body, in the model, the rest being frozen."""
        head = head_over(self.model, parts, collate, config, Path(output_dir))
        if head is None:
            self.model.requires_grad_(False)
            for part in new_parts(self.model):
                self.model.get_submodule(part).requires_grad_(True)
            return train(self.model, *parts, collate=collate, config=config, output_dir=output_dir, **how)
        self.seconds["vectors"] = head.seconds
        plan = replace(config, precision="no")  # there is next to nothing left to do faster
        return train(head, *self.rows(parts), collate=row_batch, config=plan, output_dir=output_dir, **how)

    def train_lora(self, train: Callable, parts: Sequence[Dataset], **how):
        """Trains LoRA's matrices and the head; afterwards the model is an ordinary one, joined with them."""
        self.adapter = Adapter(self.model, self.options.rank, alone=not self.options.merge)
        history = train(self.model, *parts, **how)
        self.adapter.join()
        return history

    def rows(self, parts: Sequence[Dataset]) -> list[Dataset]:
        """The parts as numbers of rows with labels, numbered through."""
        return [numbered(part, sum(map(len, parts[:number]))) for number, part in enumerate(parts)]

    def head_answers(self, train: Callable, parts: Sequence[Dataset], *, collate, config, output_dir, **how):
        """What a head alone answers for the rows of the last part; the model is as before. None where it has no head.

        Answers and seconds are kept in a file, for a training that is stopped and gone on with.
        """

        def make() -> torch.Tensor:
            head = head_over(self.model, parts, collate, config)
            if head is None:
                return torch.zeros(0)
            before = {name: tensor.clone() for name, tensor in head.state_dict().items()}
            rows, plan = self.rows(parts), replace(suited(config, "head"), precision="no", keep="last", patience=None)
            train(head, rows[0], collate=row_batch, config=plan)
            self.way.finish(self.model)
            with evaluating(head), torch.inference_mode():
                logits = head(torch.tensor(rows[1]["row"][:])).logits
            head.load_state_dict(before)
            found = probabilities_of(logits, self.model.config.problem_type).float().cpu()
            if TEXT not in parts[1].column_names:
                return found
            return torch.from_numpy(mean_rows(found.numpy(), np.array(parts[1][TEXT][:])))

        answers, self.seconds["head"] = kept_vectors(Path(output_dir) / "head-alone.safetensors", make)
        return answers.numpy() if len(answers) else None

    def told(self, history, prepared: Prepared, probabilities: np.ndarray) -> dict:
        """What the report says about the method, beside what the way of the chapter measures."""
        facts = {"method": self.options.method, "train": sum(history.seconds)}
        if self.rival is not None:
            choose = {ONE_LABEL: lambda rows: rows.argmax(axis=-1), SEVERAL: lambda rows: rows >= 0.5}
            answers = choose.get(prepared.problem, np.asarray)(self.rival)
            found = self.way.measure(prepared, probabilities, {"head": answers}, self.way.metrics)
            facts |= {"seconds": self.seconds["head"], "scores": found["scores"]["head"], "verdict": found["verdict"]}
            facts |= {"right": found["right"], "closer": found.get("closer", {})}
        if "vectors" in self.seconds:
            epochs = MORE_EPOCHS if len(prepared.train) < FEW else EPOCHS
            whole = PASSES * epochs * self.seconds["vectors"]
            facts["times"] = whole / (self.seconds["vectors"] + facts["train"])
        if self.adapter:
            base = self.adapter.base
            facts |= {"trained": self.adapter.trained, "all": self.adapter.all}
            facts["base"] = Path(base).name if Path(base).is_dir() else base
            facts |= {"rank": self.options.rank, "merged": self.options.merge}
        return {"method": facts}

    def save_pretrained(self, folder: Path) -> None:
        """Writes the model, or the adapter alone, where there is one that is not to be merged."""
        if self.adapter and not self.options.merge:
            self.adapter.save(Path(folder))
        else:
            self.model.save_pretrained(folder)
