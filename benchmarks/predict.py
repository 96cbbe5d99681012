"""`Predictor` on 5,000 reviews, beside `pipeline`, ONNX Runtime and the limit."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from datasets import load_dataset
from transformers import AutoTokenizer, pipeline

from benchmarks.measure import compare, report, take_turns
from ftcourse.engine.batches import pad_rows, token_batches, tokens_at_once
from ftcourse.engine.forward import batch_logits
from ftcourse.engine.models import load_classifier
from ftcourse.inference import Predictor
from ftcourse.kit import Kit

NUM_TEXTS = 5000
ROUNDS = 3


def export(model: torch.nn.Module, tokenizer, folder: str) -> Path:
    """An ONNX file of the model, for batches of any shape."""
    example = dict(tokenizer(["a", "b c"], padding=True, return_tensors="pt"))
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    shapes = dict.fromkeys(example, free)
    with warnings.catch_warnings(action="ignore"):
        program = torch.onnx.export(model, kwargs=example, dynamic_shapes=shapes, dynamo=True, verbose=False)
    program.save(Path(folder, "model.onnx"))
    return Path(folder, "model.onnx")


def onnx_runtime(file: Path, tokenizer, texts: list[str]) -> Callable[[], np.ndarray]:
    """ONNX Runtime in batches of 32, as the texts come, on as many threads as PyTorch."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
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
    rows = token_batches(lengths, predictor.batch_size, tokens_at_once("cpu"))
    return [pad_rows(encoded, group, predictor.tokenizer) for group in rows], [row for group in rows for row in group]


def limit(predictor: Predictor, texts: list[str], precision: str) -> Callable[[], np.ndarray]:
    batches, order = ready_batches(predictor, texts)
    back = np.argsort(order)
    return lambda: batch_logits(batches, predictor.model, precision).argmax(dim=-1).numpy()[back]


def main() -> None:
    kit = Kit()
    splits = load_dataset(*kit.dataset("reviews"))
    rows = [*splits["test"], *splits["validation"], *splits["train"].select(range(NUM_TEXTS))][:NUM_TEXTS]
    texts, labels = [row["text"] for row in rows], np.array([row["label"] for row in rows])
    tokenizer, model = AutoTokenizer.from_pretrained(kit.model("stars")), load_classifier(kit.model("stars")).eval()
    pipe = pipeline("text-classification", model=model, tokenizer=tokenizer)
    exact, auto = Predictor(model, tokenizer), Predictor(model, tokenizer, precision="auto")
    auto.predict(texts[:256])  # measures the precision
    with TemporaryDirectory() as folder:
        works = {
            "ftcourse": partial(answers, auto, texts),
            "limit": limit(auto, texts, auto.precision),
            "ftcourse, float32": partial(answers, exact, texts),
            "limit, float32": limit(exact, texts, "no"),
            "pipeline, default": partial(by_pipeline, pipe, texts),
            "pipeline, batch_size=32": partial(by_pipeline, pipe, texts, batch_size=32),
            "ONNX Runtime, batches of 32": onnx_runtime(export(model, tokenizer, folder), tokenizer, texts),
        }
        contestants = {name: lambda seed, work=work: lambda: score(work(), labels) for name, work in works.items()}
        results = take_turns(contestants, ROUNDS)
    title = f"{len(texts):,} texts, ftcourse in {auto.precision!r}"
    report("predict", {title: compare(results, "ftcourse")})


def score(found: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    return {"accuracy": float((found == labels).mean())}
