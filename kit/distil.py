"""Distils the encoder: a few layers learn to give what the teacher's twelve give, and to guess hidden words.

`python -m kit.distil --texts DIR [--steps N]` goes on from the last state in `build/kit`, on a GPU where there is one.

Three kinds of batches take turns: texts (be like the teacher), texts with hidden words (guess them), and pairs of texts
(be like the teacher, and tell whether they are translations). The teacher sees "query: " before a text, as it was
trained to; the student does without.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, normalize
from transformers import BertConfig, BertForPreTraining, PreTrainedTokenizerFast

from ftcourse.engine.folders import written_whole
from kit.teacher import CACHE, NoTeacher, Teacher, load_teacher
from kit.texts import LANGS, NoTexts, distillation_texts, held_out, key, opinion_texts, rows_of
from kit.training import parameter_groups
from kit.vocabulary import SIZE, SPECIAL, Vocabulary, build_tokenizer, cut, starting_vectors

LAYERS = (0, 4, 8, 11)  # of the teacher, to start from
SHARES = {"en": 0.28, "ar": 0.36, "zh": 0.22, "zh-Hant": 0.14}  # of the tokens


@dataclass(frozen=True)
class Phase:
    """Steps whose learning rate rises, then falls to nothing; shares of the kinds of batches; what words weigh."""

    steps: int
    kinds: dict[str, float]
    words: float


PHASES = (
    Phase(4_600, {"texts": 0.6, "hidden": 0.3, "pairs": 0.1}, words=0.3),  # first of all like the teacher
    Phase(4_400, {"texts": 0.35, "hidden": 0.55, "pairs": 0.1}, words=1.0),  # then words
)
STEPS, TOKENS = sum(phase.steps for phase in PHASES), 2_560  # tokens in a batch, padding included
LENGTHS = (8, 16, 24, 32, 48, 64, 128)  # that texts are padded to; what is longer is cut
WINDOW = 8_000  # texts drawn at once
LR, WARMUP = 3e-4, 200
MASKED_SHARE, WORDS_STEP = 0.15, 32
WEIGHTS = {"tokens": 1.0, "mean": 2.0, "similarity": 5.0, "pooler": 1.0, "same": 0.3}
SAVE_SECONDS, SAY_SECONDS = 300, 60
PREFIX = "query: "
STATE, VOCABULARY = "distillation.safetensors", "vocabulary.json"  # in the folder of a distillation


def build_student(teacher: Teacher, vocabulary: Vocabulary, layers: tuple[int, ...]) -> BertForPreTraining:
    """A BERT with the teacher's width, the vectors of the vocabulary, and some of its layers; heads to be learnt."""
    config = BertConfig.from_dict(teacher.model.config.to_dict())
    config.vocab_size, config.num_hidden_layers, config.pad_token_id = len(vocabulary.pieces), len(layers), 0
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config._attn_implementation = "eager"  # the fused one's backward pass is slow in bfloat16 on a processor
    student = BertForPreTraining(config)
    old, new = teacher.model.state_dict(), student.bert.state_dict()
    for name in new:
        if name.startswith("encoder.layer."):
            place, rest = name.removeprefix("encoder.layer.").split(".", 1)
            new[name] = old[f"encoder.layer.{layers[int(place)]}.{rest}"]
        elif name in old and old[name].shape == new[name].shape:
            new[name] = old[name]
    new["embeddings.word_embeddings.weight"] = starting_vectors(teacher, vocabulary)
    new["embeddings.token_type_embeddings.weight"] = old["embeddings.token_type_embeddings.weight"][:1].repeat(2, 1)
    student.bert.load_state_dict(new)
    nn.init.eye_(student.cls.predictions.transform.dense.weight)
    student.tie_weights()
    return student


class Distillation(nn.Module):
    """Student and teacher, and what is asked of the student."""

    def __init__(self, student: BertForPreTraining, teacher: Teacher, vocabulary: Vocabulary, device: torch.device):
        super().__init__()
        self.student, self.device = student.to(device), device
        self.teacher = teacher.model.to(device, torch.bfloat16).requires_grad_(False).eval()
        self.origins = torch.tensor(vocabulary.origins, device=device)
        tokenizer = build_tokenizer(vocabulary)
        prefix = tokenizer(PREFIX.strip(), add_special_tokens=False)["input_ids"]
        self.prefix = torch.tensor(prefix, device=device)
        self.mask = tokenizer.mask_token_id
        self.register_buffer("center", torch.zeros(student.config.hidden_size, device=device))
        self.register_buffer("scale", torch.ones(student.config.hidden_size, device=device))

    @torch.inference_mode()
    def wanted(self, input_ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The teacher's states of the tokens, and its mean over them and the prefix."""
        number, extra = len(input_ids), len(self.prefix)
        ids = torch.cat([input_ids[:, :1], self.prefix.expand(number, extra), input_ids[:, 1:]], dim=1)
        whole = torch.cat([mask[:, :1].expand(number, extra), mask], dim=1)
        states = self.teacher(input_ids=self.origins[ids], attention_mask=whole).last_hidden_state.float()
        means = (states * whole[..., None]).sum(1) / whole.sum(1, keepdim=True)
        return torch.cat([states[:, :1], states[:, extra + 1 :]], dim=1), means

    def measure(self, batches: list[dict]) -> None:
        """Center and scale of the teacher's means; the pooler starts as what brings them to zero and one."""
        means = torch.cat([self.wanted(b["input_ids"], b["attention_mask"])[1] for b in map(self.moved, batches)])
        self.center.copy_(means.mean(0))
        self.scale.copy_(means.std(0))
        pooler = self.student.bert.pooler.dense
        with torch.no_grad():
            pooler.weight.copy_(torch.diag(0.5 / self.scale))
            pooler.bias.copy_(-0.5 * self.center / self.scale)

    def moved(self, batch: dict) -> dict:
        return {name: value.to(self.device) if torch.is_tensor(value) else value for name, value in batch.items()}

    def forward(self, batch: dict) -> dict[str, torch.Tensor]:
        """The losses of a batch, by name."""
        batch = self.moved(batch)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
        if batch["kind"] == "hidden":
            losses = {"words": self.guess(inputs)}
        else:
            states, means = self.wanted(inputs["input_ids"], inputs["attention_mask"])
            with torch.autocast(self.device.type, torch.bfloat16):
                outputs = self.student.bert(**inputs)
            losses = self.likeness(outputs, inputs["attention_mask"], states.clone(), means.clone())
            if batch["kind"] == "pairs":
                logits = self.student.cls.seq_relationship(outputs.pooler_output.float())
                losses["same"] = cross_entropy(logits, batch["labels"])
        return losses

    def likeness(self, outputs, mask: torch.Tensor, states: torch.Tensor, means: torch.Tensor) -> dict:
        """How far the student's states, their mean, the batch's similarities and the pooled output are from what is
        wanted."""
        own = outputs.last_hidden_state.float()
        real = mask.bool()
        relative = (own - states).square().sum(-1) / states.square().sum(-1)
        mean = normalize((own * mask[..., None]).sum(1), dim=-1)
        other = normalize(means, dim=-1)
        pooled = torch.tanh(0.5 * (means - self.center) / self.scale)
        return {
            "tokens": relative[real].mean(),
            "mean": (1 - (mean * other).sum(-1)).mean(),
            "similarity": (mean @ mean.T - other @ other.T).square().mean(),
            "pooler": mse_loss(outputs.pooler_output.float(), pooled),
        }

    def guess(self, inputs: dict) -> torch.Tensor:
        """The loss of guessing hidden words: of 100 tokens 15, of which 12 are masked, 1 is another one, 2 stay."""
        ids = inputs["input_ids"].clone()
        words = inputs["attention_mask"].bool() & (ids >= len(SPECIAL))
        number = max(1, int(MASKED_SHARE * words.sum()) // WORDS_STEP) * WORDS_STEP
        order = torch.rand(ids.shape, device=ids.device).masked_fill(~words, 2).flatten().argsort()
        chosen = order[:number]
        ids = ids.flatten()
        wanted, chance = ids[chosen], torch.rand(number, device=ids.device)
        others = torch.randint(len(SPECIAL), self.student.config.vocab_size, wanted.shape, device=ids.device)
        masked = torch.full_like(wanted, self.mask)
        ids[chosen] = torch.where(chance < 0.8, masked, torch.where(chance < 0.9, others, wanted))
        with torch.autocast(self.device.type, torch.bfloat16):
            states = self.student.bert(**inputs | {"input_ids": ids.view_as(words)}).last_hidden_state
            logits = self.student.cls.predictions(states.flatten(0, 1)[chosen])
        return cross_entropy(logits.float(), wanted)


def encoded(tokenizer: PreTrainedTokenizerFast, lines: list[str], others: list[str] | None = None) -> list[dict]:
    options = {"truncation": True, "max_length": LENGTHS[-1], "return_attention_mask": False}
    found = tokenizer(lines, others, **options) if others else tokenizer(lines, **options)
    return [{"ids": i, "types": t} for i, t in zip(found["input_ids"], found["token_type_ids"], strict=True)]


def batch_of(rows: list[dict], kind: str, length: int) -> dict:
    ids, types = (
        torch.tensor([row[name] + [0] * (length - len(row[name])) for row in rows]) for name in ("ids", "types")
    )
    batch = {"kind": kind, "input_ids": ids, "attention_mask": (ids != 0).long(), "token_type_ids": types}
    if kind == "pairs":
        batch["labels"] = torch.tensor([row["label"] for row in rows])
    return batch


class Buckets:
    """Rows of about the same length, until there are enough for a batch. Few shapes: a new one costs time."""

    def __init__(self, kind: str, tokens: int):
        self.kind, self.tokens, self.rows = kind, tokens, {length: [] for length in LENGTHS}

    def batches(self, rows: list[dict], rng: random.Random) -> list[dict]:
        """The batches that these rows complete, in random order."""
        full = []
        for row in rows:
            length = next(length for length in LENGTHS if len(row["ids"]) <= length)
            self.rows[length].append(row)
            if len(self.rows[length]) * length >= self.tokens:
                full.append((self.rows[length], length))
                self.rows[length] = []
        rng.shuffle(full)
        return [batch_of(rows, self.kind, length) for rows, length in full]


def endless(lines: list, rng: random.Random) -> Iterator:
    while True:
        rng.shuffle(lines)
        yield from lines


def text_batches(tokenizer, texts: dict[str, list[str]], kind: str, seed: int, tokens: int = TOKENS) -> Iterator[dict]:
    """Endless batches of texts in all languages together, each with its share of the tokens."""
    rng = random.Random(f"{seed} {kind}")
    streams = {lang: endless(list(texts[lang]), rng) for lang in LANGS}
    lengths = {lang: sum(len(row["ids"]) for row in encoded(tokenizer, texts[lang][:500])) for lang in LANGS}
    odds = [SHARES[lang] / lengths[lang] for lang in LANGS]
    buckets = Buckets(kind, tokens)
    while True:
        langs = rng.choices(LANGS, odds, k=WINDOW)
        yield from buckets.batches(encoded(tokenizer, [next(streams[lang]) for lang in langs]), rng)


def pair_batches(tokenizer, pairs: list[tuple[str, str]], seed: int, tokens: int = TOKENS) -> Iterator[dict]:
    """Endless batches of a sentence and its translation (0), or another sentence's of about the same length (1)."""
    rng, buckets = random.Random(f"{seed} pairs"), Buckets("pairs", tokens)
    while True:
        rng.shuffle(pairs)
        for start in range(0, len(pairs), WINDOW):
            window = sorted(pairs[start : start + WINDOW], key=lambda pair: len(pair[0]))
            labels = [rng.randint(0, 1) for _ in window]
            shifted = [
                window[(i + (rng.randint(1, 5) if label else 0)) % len(window)][1] for i, label in enumerate(labels)
            ]
            both = [(a, b) if rng.random() < 0.5 else (b, a) for (a, _), b in zip(window, shifted, strict=True)]
            rows = encoded(tokenizer, [a for a, _ in both], [b for _, b in both])
            yield from buckets.batches([row | {"label": label} for row, label in zip(rows, labels, strict=True)], rng)


def all_batches(
    tokenizer, texts: dict[str, list[str]], pairs: list, kinds: dict[str, float], seed: int, tokens: int
) -> Iterator[dict]:
    rng = random.Random(seed)
    streams = {kind: text_batches(tokenizer, texts, kind, seed, tokens) for kind in ("texts", "hidden")}
    streams["pairs"] = pair_batches(tokenizer, pairs, seed, tokens)
    while True:
        yield next(streams[rng.choices(list(kinds), list(kinds.values()))[0]])


def translations(texts: Path) -> list[tuple[str, str]]:
    barred = held_out(texts)
    rows = [(row["en"], row["text"]) for row in rows_of(texts / "pairs.tsv.xz")]
    return [pair for pair in rows if not barred & {key(pair[0]), key(pair[1])}]


def rate(step: int, steps: int) -> float:
    return min((step + 1) / WARMUP, max(0.0, (steps - step) / max(1, steps - WARMUP)))


def phases_until(steps: int) -> list[tuple[int, Phase]]:
    """The phases that `steps` reach, each with its first step; the last one is cut, and ends there.

    >>> [(first, phase.steps) for first, phase in phases_until(5_000)]
    [(0, 4600), (4600, 400)]
    """
    found, first = [], 0
    for phase in PHASES:
        if first < steps:
            found.append((first, replace(phase, steps=min(phase.steps, steps - first))))
        first += phase.steps
    return found


def make_vocabulary(
    teacher: Teacher, lines: dict[str, list[str]], texts: Path, folder: Path, size: int = SIZE
) -> Vocabulary:
    """The vocabulary for the lines of the texts, half of it chosen by the opinions among them; kept in the folder."""
    place = folder / VOCABULARY
    if not place.exists():
        weights = {lang: SHARES[lang] / 2 for lang in LANGS}
        both = lines | {f"{lang} opinions": opinions for lang, opinions in opinion_texts(texts).items()}
        found = cut(teacher, both, weights | {f"{lang} opinions": weight for lang, weight in weights.items()}, size)
        with written_whole(place) as part:
            part.write_text(json.dumps(vars(found)), encoding="utf-8")
    return read_vocabulary(folder)


def read_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary that a distillation keeps in its folder."""
    return Vocabulary(**json.loads((folder / VOCABULARY).read_text(encoding="utf-8")))


def save_state(distillation: Distillation, optimizer, step: int, place: Path) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in distillation.state_dict().items() if "teacher" not in name}
    tensors.pop("model.student.cls.predictions.decoder.weight")  # the word vectors, once more
    tensors.pop("model.student.cls.predictions.decoder.bias", None)
    for index, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with written_whole(place) as part:
        save_file(tensors, part, metadata={"step": str(step)})


def load_state(distillation: Distillation, optimizer, place: Path) -> int:
    """The step reached; model and optimizer as they were then."""
    with safe_open(place, "pt") as file:
        step = int(file.metadata()["step"])
    tensors = load_file(place)
    model = {name.removeprefix("model."): tensor for name, tensor in tensors.items() if name.startswith("model.")}
    distillation.load_state_dict(model, strict=False)
    slots: dict[int, dict] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, slot = name.split(".")
            slots.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})
    return step


def run_phase(
    distillation: Distillation, optimizer, stream: Iterator[dict], phase: Phase, first: int, step: int, place: Path
) -> int:
    """Trains from `step` to the end of a phase that begins at the step `first`, and returns its end; keeps its state
    in `place`."""
    last = first + phase.steps
    if step >= last:
        return step
    for _ in range(step - first):
        next(stream)
    weights = WEIGHTS | {"words": phase.words}
    begun = step
    started = said = saved = time.monotonic()
    sums: dict[str, list[float]] = {}
    seen = 0
    try:
        while step < last:
            batch = next(stream)
            losses = distillation(batch)
            sum(weights[name] * loss for name, loss in losses.items()).backward()
            nn.utils.clip_grad_norm_(distillation.student.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = LR * rate(step - first, phase.steps)
            optimizer.step()
            optimizer.zero_grad()
            step += 1
            seen += int(batch["attention_mask"].sum())
            for name, loss in losses.items():
                sums.setdefault(name, []).append(loss.item())
            now = time.monotonic()
            if now - said > SAY_SECONDS or step == last:
                parts = ", ".join(f"{name} {sum(values) / len(values):.4f}" for name, values in sums.items())
                left = (now - started) / (step - begun) * (last - step) / 60
                speed = f"{seen / (now - started):,.0f} tokens/s, {left:.0f} min left"
                print(f"encoder: step {step} of {last}, {speed}; {parts}", flush=True)
                said, sums = now, {}
            if now - saved > SAVE_SECONDS or step == last:
                save_state(distillation, optimizer, step, place)
                saved = now
    except KeyboardInterrupt:
        optimizer.zero_grad()
        save_state(distillation, optimizer, step, place)
        raise SystemExit(f"encoder: stopped after step {step}, and kept; the same command goes on from there") from None
    return step


def distil(
    texts: Path,
    steps: int = STEPS,
    tokens: int = TOKENS,
    seed: int = 0,
    teacher_place: str | None = None,
    folder: Path | None = None,
    layers: tuple[int, ...] = LAYERS,
    size: int = SIZE,
) -> Path:
    """Trains the student for `steps`, on from where it was stopped, and returns the file with its state.

    State and vocabulary are kept in `folder`, else in `build/kit`.
    """
    folder = folder or CACHE
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / STATE
    teacher = load_teacher(teacher_place)
    lines = distillation_texts(texts)
    vocabulary = make_vocabulary(teacher, lines, texts, folder, size)
    tokenizer = build_tokenizer(vocabulary)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(seed)
    distillation = Distillation(build_student(teacher, vocabulary, layers), teacher, vocabulary, device)
    optimizer = torch.optim.AdamW(parameter_groups(distillation.student), lr=LR, betas=(0.9, 0.98), fused=True)
    step = 0
    if place.exists():
        step = load_state(distillation, optimizer, place)
        print(f"encoder: goes on from step {step}", flush=True)
    else:
        distillation.measure([next(text_batches(tokenizer, lines, "texts", seed + 1, tokens)) for _ in range(8)])
    distillation.student.train()
    pairs = translations(texts)
    for number, (first, phase) in enumerate(phases_until(steps)):
        stream = all_batches(tokenizer, lines, pairs, phase.kinds, seed + number, tokens)
        step = run_phase(distillation, optimizer, stream, phase, first, step, place)
    return place


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True, help="the folder that kit/sources.py has made")
    parser.add_argument("--teacher", help="a folder with the teacher as the Hub has it")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    try:
        distil(arguments.texts, arguments.steps, teacher_place=arguments.teacher)
    except (NoTeacher, NoTexts) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
