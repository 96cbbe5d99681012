"""What a graphics card makes of `train` and `predict`: `python -m benchmarks.gpu`, at most 8 minutes by its own clock.

Without a card it runs in a tiny form, to show that it runs; its figures then say nothing, and it says so."""

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from benchmarks.measure import ratio_of, report
from benchmarks.predict import forward, ready_batches
from benchmarks.training import step
from ftcourse.engine.batches import make_loader
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, train

SECONDS = 480
# Peak of matrix products in bfloat16 without sparsity, in TFLOP/s, from the makers' data sheets; T4 and V100, which do
# not know bfloat16, in float16. The first name that a card's name has is its own.
PEAKS = {
    "B200": 2250, "GH200": 989, "H200": 989, "H100 PCIe": 756, "H100 NVL": 835, "H100": 989, "A100": 312, "A800": 312,
    "L40S": 362, "L40": 181, "L4": 121, "A40": 150, "A30": 165, "A10G": 70, "A10": 125, "RTX 4090": 165, "RTX 3090": 71,
    "RTX 6000 Ada": 364, "V100": 125, "T4": 65, "MI300X": 1307, "MI250": 362,
}  # fmt: skip


def peak_of(name: str) -> float | None:
    """The peak of a card in FLOP/s; None for one that the table does not have.

    >>> peak_of("NVIDIA H200"), peak_of("NVIDIA L40S"), peak_of("a card to come")
    (989000000000000.0, 362000000000000.0, None)
    """
    return next((1e12 * peak for card, peak in PEAKS.items() if card in name), None)


def flops(config, tokens: int, length: float, training: bool) -> float:
    """Operations for so many tokens in texts of this length: two a weight and token in the forward pass, and 4 · width
    · length a layer and token in attention; three times as many in training. Embeddings are looked up, and don't count.

    >>> config = BertConfig(num_hidden_layers=1, hidden_size=4, intermediate_size=16)
    >>> flops(config, tokens=1, length=0, training=True)  # 6 a weight: 4 · 4 · 4 of attention, 2 · 4 · 16 behind it
    1152.0
    """
    width = config.hidden_size
    weights = config.num_hidden_layers * (4 * width**2 + 2 * width * config.intermediate_size)
    attention = config.num_hidden_layers * 4 * width * length
    return float((6 if training else 2) * weights * tokens + (3 if training else 1) * attention * tokens)


@dataclass(frozen=True)
class Size:
    """How much is measured: shapes of networks, rows, tokens a row, rows a step, rounds."""

    shapes: dict[str, dict]
    rows: int
    length: int
    batch: int
    rounds: int


CARD = Size(
    {
        "BERT 6 × 384": {
            "num_hidden_layers": 6,
            "hidden_size": 384,
            "num_attention_heads": 6,
            "intermediate_size": 1536,
        },
        "BERT 12 × 768": {},
    },
    rows=2048,
    length=128,
    batch=64,
    rounds=9,
)
TINY = Size(
    {"BERT 1 × 32": {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}},
    rows=32,
    length=16,
    batch=8,
    rounds=2,
)


class Clock:
    """The seconds that are left; at zero the process prints what it has and ends, whatever it is waiting for.

    >>> Clock(60).left > 59
    True
    """

    def __init__(self, seconds: float):
        self.end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self.end - time.monotonic()

    def guard(self) -> None:
        """Ends the process at the end of the time."""

        def ring() -> None:
            print("\nThe time is over; what was measured stands above.", flush=True)
            os._exit(0)

        watch = threading.Timer(max(self.left, 0.1), ring)
        watch.daemon = True
        watch.start()


def wait_for(device: torch.device) -> None:
    """Until the card has done all it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    wait_for(device)
    started = time.perf_counter()
    work()
    wait_for(device)
    return time.perf_counter() - started


def turns(
    works: dict[str, Callable[[], object]], device: torch.device, rounds: int, clock: Clock, share: float
) -> dict:
    """Seconds of each, by name, in turns, after one turn to warm up, until all rounds are made or a share of the time
    that is left is over. One that fails leaves, and says so."""
    found, until = {name: [] for name in works}, time.monotonic() + share * clock.left
    for turn in range(rounds + 1):
        if turn > 1 and time.monotonic() > until:
            break
        names = [*found][turn % len(found) :] + [*found][: turn % len(found)]
        for name in names:
            if isinstance(found[name], str):
                continue
            try:
                taken = seconds_of(works[name], device)
                if turn:
                    found[name].append(taken)
            except Exception as error:
                found[name] = f"failed: {type(error).__name__}: {error}".split("\n")[0][:120]
    return found


def told(found: dict, ours: str, work: Callable[[str, float], dict] | None = None) -> list[dict]:
    """A row each: median seconds, ratio with its interval, and what `work` says about name and seconds."""
    rows = []
    for name, seconds in found.items():
        if isinstance(seconds, str) or not seconds:
            rows.append({"name": name, "note": seconds or "no time was left"})
            continue
        row = {"name": name, "seconds": float(np.median(seconds))}
        if isinstance(found[ours], list) and found[ours]:
            both = zip(seconds, found[ours], strict=False)
            row |= ratio_of([theirs / mine for theirs, mine in both])
        rows.append(row | (work(name, row["seconds"]) if work else {}) | {"runs": seconds})
    return rows


class Bench:
    """One network on one device, with rows of random ids, all as long as in the sizes or half as long."""

    def __init__(self, shape: dict, size: Size, device: torch.device):
        self.size, self.device = size, device
        self.network = BertConfig(vocab_size=24_000, num_labels=5, **shape)
        self.tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(Kit().model("encoder"))
        rng = np.random.default_rng(0)
        lengths = rng.integers(size.length // 2, size.length + 1, size.rows)
        rows = [rng.integers(10, 24_000, length).tolist() for length in lengths]
        self.data = Dataset.from_dict({"input_ids": rows, "labels": [number % 5 for number in range(size.rows)]})
        self.tokens, self.length = int(lengths.sum()), float(lengths.mean())
        self.collate = DataCollatorWithPadding(self.tokenizer)
        words = ["food"] * size.length
        self.texts = [" ".join(words[: length - 2]) for length in lengths.tolist()]

    def model(self) -> PreTrainedModel:
        torch.manual_seed(0)
        return BertForSequenceClassification(self.network).to(self.device)

    def config(self, precision: str) -> TrainConfig:
        return TrainConfig(epochs=1, batch_size=self.size.batch, precision=precision, seed=0)

    def batches(self) -> list[dict[str, torch.Tensor]]:
        """The batches of an epoch of `train`, on the card."""
        return self.moved(make_loader(self.data, self.collate, self.config("no")))

    def moved(self, batches: Iterable[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
        """The same batches, on the card."""
        return [{name: tensor.to(self.device) for name, tensor in batch.items()} for batch in batches]


def epoch(model, batches: list[dict], precision: str, optimizer=None) -> None:
    for batch in batches:
        step(model, batch, precision, optimizer)


def rates(bench: Bench, peak: float | None, training: bool) -> Callable[[str, float], dict]:
    """What a table says beside seconds: tokens a second, and the share of the card's peak."""

    def work(name: str, seconds: float) -> dict:
        rate = flops(bench.network, bench.tokens, bench.length, training) / seconds
        return {
            "tokens_a_second": round(bench.tokens / seconds),
            "of_peak": f"{100 * rate / peak:.1f} %" if peak else "unknown",
        }

    return work


def training(bench: Bench, clock: Clock, share: float) -> dict[str, list]:
    """`train` beside forward and backward alone, with and without AdamW, in both precisions."""
    batches, works = bench.batches(), {}
    for precision in ("bf16", "no"):
        said = "bf16" if precision == "bf16" else "float32"
        model, ready = bench.model(), bench.model()
        optimizer = torch.optim.AdamW(ready.parameters(), lr=1e-5, fused=True)
        options = {"collate": bench.collate, "config": bench.config(precision)}
        works[f"train, {said}"] = partial(train, model, bench.data, **options)
        works[f"limit with AdamW, {said}"] = partial(epoch, ready.train(), batches, precision, optimizer)
        works[f"limit, {said}"] = partial(epoch, ready, batches, precision)
    return turns(works, bench.device, bench.size.rounds, clock, share)


def predicting(bench: Bench, clock: Clock, share: float) -> dict[str, list]:
    """`Predictor` beside the forward pass alone, in both precisions."""
    works = {}
    for precision in ("bf16", "no"):
        said, model = "bf16" if precision == "bf16" else "float32", bench.model().eval()
        predictor = Predictor(model, bench.tokenizer, precision=precision)
        batches, _ = ready_batches(predictor, bench.texts)
        works[f"predict, {said}"] = partial(predictor.predict, bench.texts)
        works[f"limit, {said}"] = forward(predictor, bench.moved(batches))
    return turns(works, bench.device, bench.size.rounds, clock, share)


def optimizers(bench: Bench, clock: Clock, share: float) -> dict[str, list]:
    """One step of AdamW, fused, with foreach, and weight by weight."""
    works = {}
    for name, options in {
        "fused": {"fused": True},
        "foreach": {"foreach": True},
        "one by one": {"foreach": False},
    }.items():
        model = bench.model()
        for weight in model.parameters():
            weight.grad = torch.full_like(weight, 1e-3)
        works[name] = torch.optim.AdamW(model.parameters(), lr=1e-5, **options).step
    return turns(works, bench.device, bench.size.rounds, clock, share)


def transfers(bench: Bench, clock: Clock, share: float) -> dict[str, list]:
    """An epoch whose batches come from the processor's memory: pinned and overlapped, or as they are."""
    model, loader = bench.model().train(), make_loader(bench.data, bench.collate, bench.config("no"))
    plain = [dict(batch) for batch in loader]
    plain = [{name: torch.empty_like(tensor).copy_(tensor) for name, tensor in batch.items()} for batch in plain]
    works = {"as they are": (plain, False)}
    if bench.device.type == "cuda":
        pinned = [{name: tensor.pin_memory() for name, tensor in batch.items()} for batch in plain]
        works = {"pinned, overlapped": (pinned, True)} | works

    def brought(batches: list[dict], overlapped: bool) -> None:
        for batch in batches:
            here = {name: tensor.to(bench.device, non_blocking=overlapped) for name, tensor in batch.items()}
            step(model, here, "bf16")

    works = {name: partial(brought, *how) for name, how in works.items()}
    works["on the card already"] = partial(epoch, model, bench.batches(), "bf16")
    return turns(works, bench.device, bench.size.rounds, clock, share)


def compiled(bench: Bench, clock: Clock, share: float) -> dict[str, list]:
    """Forward and backward over batches of one shape: as ever, compiled, and compiled with CUDA graphs."""
    shape = (bench.size.batch, bench.size.length)
    batch = {"input_ids": torch.full(shape, 10, device=bench.device)}
    batch |= {"attention_mask": torch.ones(shape, dtype=torch.long, device=bench.device)}
    batch["labels"] = torch.zeros(shape[0], dtype=torch.long, device=bench.device)
    card = bench.device.type == "cuda"
    how = {"as ever": None, "compiled": {} if card else {"backend": "eager"}}
    how |= {"compiled, CUDA graphs": {"mode": "reduce-overhead"}} if card else {}
    found, taken = {}, {}
    for name, options in how.items():
        model = bench.model().train()
        work = model if options is None else torch.compile(model, **options)
        one = partial(step, work, batch, "bf16")
        try:
            taken[name] = seconds_of(one, bench.device)
            found[name] = one
        except Exception as error:
            print(f"{name} failed: {type(error).__name__}: {error}".split("\n")[0][:160], flush=True)
    print(
        "the first step, in seconds: " + ", ".join(f"{name} {first:.1f}" for name, first in taken.items()), flush=True
    )
    return turns(found, bench.device, 2 * bench.size.rounds, clock, share)


def main(size: Size | None = None, seconds: float = SECONDS) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    card = torch.cuda.get_device_name() if device.type == "cuda" else None
    size, clock, peak = size or (CARD if card else TINY), Clock(seconds), peak_of(card or "")
    print(
        f"{card or 'No card is at hand: the processor, in a tiny form, and its figures are from no card.'}", flush=True
    )
    if card:
        print(f"peak in bf16: {f'{peak / 1e12:.0f} TFLOP/s' if peak else 'unknown'}", flush=True)

    def parts():
        for name, shape in size.shapes.items():
            bench = Bench(shape, size, device)
            share = 0.3 / len(size.shapes)
            yield f"train, {name}", told(training(bench, clock, share), "train, bf16", rates(bench, peak, True))
            yield f"predict, {name}", told(predicting(bench, clock, share), "predict, bf16", rates(bench, peak, False))
        for title, work, ours in (
            ("AdamW, one step", optimizers, "fused"),
            ("transfers", transfers, "pinned, overlapped" if card else "as they are"),
            ("torch.compile, one step", compiled, "as ever"),
        ):
            yield f"{title}, {name}", told(work(bench, clock, 0.2), ours)

    report("gpu", parts())
    print(f"\n{seconds - clock.left:.0f} seconds.", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="at most so long (480)")
    Clock(parser.parse_args().seconds).guard()
    main(seconds=parser.parse_args().seconds - 5)
    sys.exit()
