"""`Predictor` beside `pipeline`, ONNX Runtime and the limit: the kit's model for stars, a BERT of 6 × 384."""

import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from datasets import load_dataset
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase, pipeline

from benchmarks.measure import ROUNDS, Contestant, compare, missing, report, take_turns
from benchmarks.train22m import new_model
from ftcourse.engine.batches import pad_rows, token_batches, tokens_at_once
from ftcourse.engine.models import load_classifier
from ftcourse.inference import Predictor
from ftcourse.kit import Kit

OURS, EXACT, LIMIT, EXACT_LIMIT = "ftcourse", "ftcourse, float32", "limit", "limit, float32"
ONE, MANY, ONNX = "pipeline, default", "pipeline, batch_size=32", "ONNX Runtime, batches of 32"
OURS_ONNX, INT8 = "ftcourse, ONNX", "ftcourse, int8"


def export(model: torch.nn.Module, tokenizer, folder: str) -> Path:
    """An ONNX file of the model, for batches of any shape."""
    example = dict(tokenizer(["a", "b c"], padding=True, return_tensors="pt"))
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    shapes = dict.fromkeys(example, free)
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(model, kwargs=example, dynamic_shapes=shapes, dynamo=True, verbose=False)
    program.save(Path(folder, "model.onnx"))
    return Path(folder, "model.onnx")


def onnx_runtime(model: PreTrainedModel, tokenizer, texts: list[str]) -> Callable[[], np.ndarray]:
    """ONNX Runtime in batches of 32, as the texts come, on as many threads as PyTorch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with TemporaryDirectory() as folder:
        file = export(model, tokenizer, folder)
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def work() -> np.ndarray:
        parts = (texts[start : start + 32] for start in range(0, len(texts), 32))
        batches = (tokenizer(part, padding=True, truncation=True, return_tensors="np") for part in parts)
        return np.concatenate([session.run(None, dict(batch))[0] for batch in batches]).argmax(axis=1)

    return work


def answers(predictor: Predictor, texts: list[str]) -> np.ndarray:
    return predictor.predict(texts).probabilities.argmax(axis=1)


def by_pipeline(pipe, texts: list[str], **options) -> np.ndarray:
    numbers = pipe.model.config.label2id
    return np.array([numbers[answer["label"]] for answer in pipe(texts, truncation=True, **options)])


def ready_batches(predictor: Predictor, texts: list[str]) -> tuple[list[dict[str, torch.Tensor]], list[int]]:
    """The batches that `predictor` makes of all texts at once, and the row numbers in them."""
    encoded = predictor.tokenizer(texts, truncation=True)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    rows = token_batches(lengths, predictor.batch_size, tokens_at_once(predictor.model.device))
    return [pad_rows(encoded, group, predictor.tokenizer) for group in rows], [row for group in rows for row in group]


def forward(predictor: Predictor, batches: list[dict[str, torch.Tensor]]) -> Callable[[], torch.Tensor]:
    """The logits of ready batches, by a copy of the model in the precision of `predictor`."""
    model = deepcopy(predictor.model)
    if predictor.precision == "bf16":
        model.to(torch.bfloat16)

    @torch.inference_mode()
    def work() -> torch.Tensor:
        return torch.cat([model(**batch).logits for batch in batches])

    return work


def limit(predictor: Predictor, texts: list[str]) -> Callable[[], np.ndarray]:
    """Nothing but the forward pass, over the batches of `predictor`, by a model in its precision."""
    batches, order = ready_batches(predictor, texts)
    back, work = np.argsort(order), forward(predictor, batches)
    return lambda: work().argmax(dim=-1).numpy()[back]


def ready(predictor: Predictor, texts: list[str]) -> Callable[[], np.ndarray]:
    """`predictor` at work, once it has answered some texts: "auto" measures then, and ONNX makes its file."""
    predictor.predict(texts[:256])
    return partial(answers, predictor, texts)


def all_works(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> dict[str, Callable]:
    """How each contestant makes itself ready, by name; what is returned does the work."""
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer)
    exact, auto = Predictor(model, tokenizer), Predictor(model, tokenizer, precision="auto")
    return {
        OURS: lambda: ready(auto, texts),
        LIMIT: lambda: limit(auto, texts),
        EXACT: lambda: ready(exact, texts),
        EXACT_LIMIT: lambda: limit(exact, texts),
        ONE: lambda: partial(by_pipeline, pipe, texts),
        MANY: lambda: partial(by_pipeline, pipe, texts, batch_size=32),
        ONNX: lambda: onnx_runtime(model, tokenizer, texts),
        OURS_ONNX: lambda: ready(Predictor(model, tokenizer, backend="onnx"), texts),
        INT8: lambda: ready(Predictor(model, tokenizer, backend="onnx", precision="int8"), texts),
    }


def contestants(works: dict[str, Callable], labels: np.ndarray | None) -> dict[str, Contestant]:
    """Each of them made ready once, in the first round; its score is the share of `labels` that it answers."""

    def contestant(prepare: Callable) -> Contestant:
        prepared = cache(prepare)

        def turn(seed: int) -> Callable:
            work = prepared()
            return lambda: score(work(), labels)

        return turn

    found = {name: contestant(prepare) for name, prepare in works.items()}
    needing = [name for name in found if name in (ONNX, OURS_ONNX, INT8)]
    absent = [package for package in ("onnx", "onnxruntime", "onnxscript") if not find_spec(package)]
    return found | {name: missing(" ".join(absent)) for name in needing if absent}


def score(found: np.ndarray, labels: np.ndarray | None) -> dict[str, float]:
    return {} if labels is None else {"accuracy": float((found == labels).mean())}


def reviews(count: int) -> tuple[list[str], np.ndarray]:
    """So many texts, those of the test split first, and their labels."""
    splits = load_dataset(*Kit().dataset("reviews"))
    rows = [row for split in ("test", "validation", "train") for row in splits[split].select(range(min(count, 1000)))]
    return [row["text"] for row in rows[:count]], np.array([row["label"] for row in rows[:count]])


def main(texts: int = 200, fewer: int = 100, rounds: int = ROUNDS) -> None:
    kit = Kit()
    tokenizer = AutoTokenizer.from_pretrained(kit.model("stars"))

    def parts() -> Iterator[tuple[str, list[dict]]]:
        some, labels = reviews(texts)
        works = all_works(load_classifier(kit.model("stars")).eval(), tokenizer, some)
        results = take_turns(contestants(works, labels), rounds, beside=(EXACT, EXACT_LIMIT, ONNX, OURS_ONNX))
        yield f"kit stars, {texts} texts", compare(results, OURS)
        yield f"int8, kit stars, {texts} texts", compare({name: results[name] for name in (INT8, MANY)}, INT8)
        some, _ = reviews(fewer)
        works = all_works(new_model(0), tokenizer, some)
        kept = [OURS, LIMIT, ONE, MANY, OURS_ONNX, INT8]
        results = take_turns(contestants({name: works[name] for name in kept}, None), rounds, beside=(OURS_ONNX,))
        yield f"BERT 6 × 384, {fewer} texts", compare(results, OURS)
        yield f"int8, BERT 6 × 384, {fewer} texts", compare({name: results[name] for name in (INT8, MANY)}, INT8)

    report("predict", parts())
