"""Builds the kit's checkpoints in `ftcourse/assets/models`.

`python -m kit.checkpoints [name ...] --texts DIR`: `encoder` is distilled (`kit/distil.py`), `stars` and `sentiment`
are tuned from it, `writer` is trained from scratch. Tuning leaves the encoder's word vectors and lower layers as they
are, so that the three share them: the index of `stars` and `sentiment` points at a file of the encoder's.
"""

import argparse
import json
import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import log_softmax
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
    PreTrainedModel,
)

from ftcourse.shards import INDEX, WHOLE
from kit.bank import ASPECTS
from kit.data import ASSETS, LANGS, bank, rows
from kit.distil import LAYERS, STATE, build_student, distil, read_vocabulary
from kit.generate import Writer, render
from kit.teacher import CACHE, NoTeacher, load_teacher
from kit.texts import OPINION_LANGS, NoTexts, everyday, traditional, training_opinions
from kit.training import batches, optimize, padded, seed_everything
from kit.vocabulary import build_tokenizer

MODELS = ASSETS / "models"
MAX_LENGTH = 128
SHARED, OWN = "shared.safetensors", "own.safetensors"
SHARED_LAYERS = 2  # of the encoder's, from below, which tuning leaves alone
STEPS = {"stars": 1_500, "sentiment": 1_500, "writer": 6_000}
TUNING = {"batch_size": 64, "lr": 2e-4}
EVERYDAY_TIMES = 3  # how often an everyday sentence comes in an epoch
KIT_ROWS = 1_500  # of each of the kit's data sets, a language
WRITER = {"n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 128}
WRITER_VOCAB_SIZE = 6_000
LENGTH_MULTIPLE = 16  # few shapes of tensors: each new one costs time and stays in memory
PRETRAINING_CLAUSES = {1: 30, 2: 35, 3: 20, 4: 10, 5: 5}  # short reviews teach more a second
RATINGS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]  # the names of nlptown's model
SIGNS = ["NEGATIVE", "POSITIVE"]


def is_shared(name: str) -> bool:
    """Whether a weight stays as the encoder has it.

    >>> [is_shared(f"bert.encoder.layer.{layer}.output.dense.bias") for layer in (1, 2)]
    [True, False]
    """
    parts = name.split(".")
    return parts[1] == "embeddings" or (parts[1] == "encoder" and int(parts[3]) < SHARED_LAYERS)


def write_checkpoint(model: PreTrainedModel, tokenizer, directory: Path) -> None:
    """Model and tokenizer in half precision, the shared weights in a file of their own, in the encoder's folder only.

    The configuration says float32: so they are read, and training starts in it.
    """
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    weights = {name: tensor.half() for name, tensor in load_file(directory / WHOLE).items()}
    shared = {name: tensor for name, tensor in weights.items() if is_shared(name)}
    own = {name: tensor for name, tensor in weights.items() if name not in shared}
    with_them = directory.name.lstrip(".") == "encoder"
    place = SHARED if with_them else f"../encoder/{SHARED}"
    if with_them:
        save_file(shared, directory / SHARED, metadata={"format": "pt"})
    (directory / WHOLE).unlink()
    save_file(own, directory / OWN, metadata={"format": "pt"})
    places = {name: place if name in shared else OWN for name in sorted(weights)}
    size = sum(tensor.nbytes for tensor in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (directory / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def build_encoder(directory: Path, texts: Path) -> None:
    """The multilingual encoder, as the distillation left it."""
    distil(texts)
    export_encoder(directory, CACHE, LAYERS)


def export_encoder(directory: Path, folder: Path, layers: tuple[int, ...]) -> None:
    """What the distillation in `folder` has reached, as a checkpoint."""
    teacher = load_teacher()
    vocabulary = read_vocabulary(folder)
    student = build_student(teacher, vocabulary, layers)
    prefix = "model.student."
    state = {
        name.removeprefix(prefix): tensor
        for name, tensor in load_file(folder / STATE).items()
        if name.startswith(prefix)
    }
    missing = student.load_state_dict(state, strict=False).missing_keys
    assert all("decoder" in name for name in missing), missing
    student.config.hidden_dropout_prob = 0.1  # for fine-tuning; on attention it would cost an eighth of a step
    write_checkpoint(student.eval(), build_tokenizer(vocabulary), directory)


@dataclass(frozen=True)
class Example:
    """A text and the labels that are right for it: from the first to the last."""

    text: str
    first: int
    last: int


def examples(name: str, texts: Path) -> list[Example]:
    """What `stars` and `sentiment` are tuned on: public opinions, reviews of the kit, everyday sentences."""
    stars = name == "stars"

    def of_sign(text: str, positive: int) -> Example:
        return Example(text, *((3, 4) if positive else (0, 1))) if stars else Example(text, positive, positive)

    def of_stars(text: str, number: int) -> list[Example]:
        if stars:
            return [Example(text, number - 1, number - 1)]
        return [] if number == 3 else [of_sign(text, int(number > 3))]

    found = []
    for kind in OPINION_LANGS:
        for opinion in training_opinions(kind, texts):
            found.append(of_sign(opinion.text, opinion.label))
            if kind == "zh":
                found.append(of_sign(traditional(opinion.text), opinion.label))
    for lang in LANGS:
        for row in rows("reviews", "train", lang)[:KIT_ROWS]:
            found += of_stars(row["text"], row["label"] + 1)
        found += [of_sign(row["text"], row["label"]) for row in rows("films", "train", lang)[:KIT_ROWS]]
        for row in everyday(lang):
            spellings = [row["text"], traditional(row["text"])] if lang == "zh" else [row["text"]]
            found += [e for text in spellings for e in of_stars(text, row["stars"])] * EVERYDAY_TIMES
    return found


def build_classifier(directory: Path, texts: Path, name: str, labels: list[str]) -> None:
    """The encoder tuned, but for its lower layers, on opinions in all languages at once."""
    seed_everything(0, threads=2)
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "encoder")
    model = AutoModelForSequenceClassification.from_pretrained(
        MODELS / "encoder",
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        attn_implementation="eager",
    )
    for parameter_name, parameter in model.named_parameters():
        parameter.requires_grad_(not is_shared(parameter_name))
    tuned = examples(name, texts)
    ids = tokenizer([example.text for example in tuned], truncation=True, max_length=MAX_LENGTH)["input_ids"]
    optimize(model, range_losses(model, ids, tuned), STEPS[name], lr=TUNING["lr"], name=name)
    model.config.problem_type = "single_label_classification"
    write_checkpoint(model, tokenizer, directory)


def range_losses(model, ids: list[list[int]], tuned: list[Example]) -> Iterator[torch.Tensor]:
    """Losses without end: how unlikely the model finds the labels that are right for each text, taken together."""
    rng = random.Random(0)
    number = model.config.num_labels
    right = torch.tensor([[example.first <= label <= example.last for label in range(number)] for example in tuned])
    for chosen in batches([len(row) for row in ids], TUNING["batch_size"], rng):
        inputs = padded([ids[row] for row in chosen], 0, LENGTH_MULTIPLE)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=inputs, attention_mask=(inputs != 0).long()).logits
        likely = log_softmax(logits.float(), -1).masked_fill(~right[chosen], -torch.inf).logsumexp(-1)
        yield -likely.mean()


def build_writer(directory: Path, texts: Path) -> None:
    """A causal language model over reviews of all domains, in three languages."""
    seed_everything(0)
    rng = random.Random("writer")
    texts = []
    for domain in ASPECTS:
        writer = Writer(bank(), domain)
        for i in range(1_000):
            review = writer.review(rng, i % 5 + 1, PRETRAINING_CLAUSES)
            texts += [render(review, lang) for lang in ("en", "ar", "zh")]
    tokenizer = GPT2Tokenizer().train_new_from_iterator(texts, WRITER_VOCAB_SIZE)
    end = tokenizer.eos_token_id
    config = GPT2Config(**WRITER, vocab_size=len(tokenizer), bos_token_id=end, eos_token_id=end, pad_token_id=end)
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config)
    ids = [[end, *row[: WRITER["n_positions"] - 2], end] for row in tokenizer(texts)["input_ids"]]

    def losses() -> Iterator[torch.Tensor]:
        lengths = [len(row) for row in ids]
        for chosen in batches(lengths, 32, rng):
            batch = [ids[row] for row in chosen]
            inputs, labels = padded(batch, end, LENGTH_MULTIPLE), padded(batch, -100, LENGTH_MULTIPLE)
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(input_ids=inputs, attention_mask=(labels >= 0).long(), labels=labels).loss
            yield loss

    optimize(model, losses(), STEPS["writer"], lr=1e-3, name="writer")
    model.generation_config.update(do_sample=True, temperature=0.6, top_p=0.9, max_new_tokens=40)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


BUILDERS = {
    "encoder": build_encoder,
    "stars": lambda directory, texts: build_classifier(directory, texts, "stars", RATINGS),
    "sentiment": lambda directory, texts: build_classifier(directory, texts, "sentiment", SIGNS),
    "writer": build_writer,
}


def build_one(name: str, texts: Path) -> None:
    """A checkpoint, anew, in a folder that is swapped in when it is whole."""
    fresh, final = MODELS / f".{name}", MODELS / name
    shutil.rmtree(fresh, ignore_errors=True)
    BUILDERS[name](fresh, texts)
    for file in fresh.iterdir():
        file.chmod(0o644)
    shutil.rmtree(final, ignore_errors=True)
    fresh.rename(final)


def mark(name: str) -> Path:
    """The file that says that a checkpoint was built in the `make kit` that is under way."""
    return CACHE / f"{name}.built"


def build(names: tuple[str, ...], texts: Path) -> None:
    """The checkpoints named, one after the other."""
    for name in names:
        started = time.monotonic()
        build_one(name, texts)
        mark(name).touch()
        print(f"{name}: built in {(time.monotonic() - started) / 60:.0f} minutes", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *BUILDERS], default=list(BUILDERS))
    parser.add_argument("--texts", type=Path, required=True, help="the folder that kit/sources.py has made")
    arguments = parser.parse_args()
    try:
        build(tuple(arguments.names), arguments.texts)
    except (NoTeacher, NoTexts, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
