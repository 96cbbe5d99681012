"""Builds the kit's checkpoints in `ftcourse/assets/models`.

`python -m kit.checkpoints [name ...] --texts DIR`: `encoder` is distilled (`kit/distil.py`), `opinions` is the encoder
tuned with two heads, which become `stars` and `sentiment`, and `writer` is trained from scratch. What several of them
have in common is stored once, in a file `shared.safetensors` of the one that has it first, and the indices of the
others point there: the word vectors with `encoder`, the tuned layers with `stars`. `images` and `speech`
are trained from scratch, too (`kit/images.py`, `kit/recognizer.py`), and `digits` is tuned from `images`.
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
    PreTrainedModel,
)

from ftcourse.engine.assets import INDEX, WHOLE
from kit.data import ASSETS, LANGS, rows
from kit.distil import LAYERS, STATE, build_student, distil, read_vocabulary
from kit.images import build_images
from kit.recognizer import build_speech
from kit.teacher import CACHE, NoTeacher, load_teacher
from kit.texts import OPINION_LANGS, NoTexts, everyday, traditional, training_opinions
from kit.training import batches, optimize, padded, seed_everything
from kit.vocabulary import build_tokenizer
from kit.writer import build_writer

MODELS = ASSETS / "models"
MAX_LENGTH = 128
SHARED, OWN = "shared.safetensors", "own.safetensors"
STEPS = 3_000
TUNING = {"batch_size": 64, "lr": 2e-4}
EVERYDAY_TIMES = 2  # how often an everyday sentence comes in an epoch
KIT_ROWS = 1_500  # of each of the kit's data sets, a language
LENGTH_MULTIPLE = 16  # few shapes of tensors: each new one costs time and stays in memory
RATINGS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]  # the names of nlptown's model
SIGNS = ["NEGATIVE", "POSITIVE"]
HEADS = {"stars": RATINGS, "sentiment": SIGNS}
HEAD_SIZES = [len(labels) for labels in HEADS.values()]


def place_of(weight: str, name: str) -> str:
    """The file in which a weight of a checkpoint lies, seen from its folder.

    >>> [place_of(weight, "sentiment") for weight in ("bert.pooler.dense.bias", "classifier.bias")]
    ['../stars/shared.safetensors', 'own.safetensors']
    """
    if weight.startswith("bert.embeddings."):
        owner = "encoder"
    elif name == "encoder" or weight.startswith("classifier."):
        return OWN
    else:
        owner = "stars"
    return SHARED if owner == name else f"../{owner}/{SHARED}"


def write_checkpoint(model: PreTrainedModel, tokenizer, directory: Path, name: str) -> None:
    """Model and tokenizer in half precision, in files of its own and, by an index, those of its neighbours.

    The configuration says float32: so they are read, and training starts in it.
    """
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    weights = {weight: tensor.half() for weight, tensor in load_file(directory / WHOLE).items()}
    (directory / WHOLE).unlink()
    places = {weight: place_of(weight, name) for weight in sorted(weights)}
    for file in {place for place in places.values() if "/" not in place}:
        part = {weight: weights[weight] for weight, place in places.items() if place == file}
        save_file(part, directory / file, metadata={"format": "pt"})
    size = sum(tensor.nbytes for tensor in weights.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (directory / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def build_encoder(folder: Path, texts: Path) -> None:
    """The multilingual encoder, as the distillation left it."""
    distil(texts)
    export_encoder(folder / "encoder", CACHE, LAYERS)


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
    write_checkpoint(student.eval(), build_tokenizer(vocabulary), directory, "encoder")


@dataclass(frozen=True)
class Example:
    """A text and the stars that are right for it, counted from 0: of an opinion without stars, two."""

    text: str
    stars: tuple[int, ...]

    def right(self) -> list[bool]:
        """Which labels are right: five numbers of stars, then the two signs. With three stars, both signs are.

        >>> Example("I loved it", (3, 4)).right()
        [False, False, False, True, True, False, True]
        """
        middle = len(RATINGS) // 2
        return [i in self.stars for i in range(len(RATINGS))] + [min(self.stars) <= middle, max(self.stars) >= middle]


def examples(texts: Path) -> list[Example]:
    """What `stars` and `sentiment` are tuned on: public opinions, reviews of the kit, everyday sentences."""
    stars_of = {0: (0, 1), 1: (3, 4)}
    found = []
    for kind in OPINION_LANGS:
        for opinion in training_opinions(kind, texts):
            found.append(Example(opinion.text, stars_of[opinion.label]))
            if kind == "zh":
                found.append(Example(traditional(opinion.text), stars_of[opinion.label]))
    for lang in LANGS:
        for name in ("natural", "reviews"):
            found += [Example(row["text"], (row["label"],)) for row in rows(name, "train", lang)[:KIT_ROWS]]
        found += [Example(row["text"], stars_of[row["label"]]) for row in rows("films", "train", lang)[:KIT_ROWS]]
        for row in everyday(lang):
            spellings = [row["text"], traditional(row["text"])] if lang == "zh" else [row["text"]]
            found += [Example(text, (row["stars"] - 1,)) for text in spellings] * EVERYDAY_TIMES
    return found


def build_opinions(folder: Path, texts: Path) -> None:
    """`stars` and `sentiment`: the encoder, but for its word vectors, tuned on opinions in all languages at once."""
    seed_everything(0)
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "encoder")
    model = AutoModelForSequenceClassification.from_pretrained(
        MODELS / "encoder", num_labels=sum(HEAD_SIZES), attn_implementation="eager"
    )
    model.bert.embeddings.requires_grad_(False)
    tuned = examples(texts)
    ids = tokenizer([example.text for example in tuned], truncation=True, max_length=MAX_LENGTH)["input_ids"]
    optimize(model, opinion_losses(model, ids, tuned), STEPS, lr=TUNING["lr"], name="opinions")
    tokenizer.backend_tokenizer.no_truncation()  # it has kept how far texts were cut
    classifier = model.classifier
    weights, biases = classifier.weight.data.split(HEAD_SIZES), classifier.bias.data.split(HEAD_SIZES)
    for (name, labels), weight, bias in zip(HEADS.items(), weights, biases, strict=True):
        classifier.weight.data, classifier.bias.data = weight, bias
        model.config.id2label = dict(enumerate(labels))
        model.config.label2id = {label: i for i, label in enumerate(labels)}
        model.config.problem_type = "single_label_classification"
        write_checkpoint(model, tokenizer, folder / name, name)


def opinion_losses(model, ids: list[list[int]], tuned: list[Example]) -> Iterator[torch.Tensor]:
    """Losses without end: for each head, how unlikely it finds the labels that are right, taken together."""
    rng = random.Random(0)
    right = torch.tensor([example.right() for example in tuned])
    for chosen in batches([len(row) for row in ids], TUNING["batch_size"], rng):
        inputs = padded([ids[row] for row in chosen], 0, LENGTH_MULTIPLE)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=inputs, attention_mask=(inputs != 0).long()).logits
        loss = torch.zeros(())
        for answers, wanted in zip(
            logits.float().split(HEAD_SIZES, -1), right[chosen].split(HEAD_SIZES, -1), strict=True
        ):
            loss = loss - log_softmax(answers, -1).masked_fill(~wanted, -torch.inf).logsumexp(-1).mean()
        yield loss


BUILDERS = {
    "encoder": build_encoder,
    "opinions": build_opinions,
    "writer": build_writer,
    "images": build_images,
    "speech": build_speech,
}


def build_one(name: str, texts: Path) -> None:
    """One or two checkpoints, anew, in a folder from which they are moved when they are whole."""
    fresh = MODELS / f".fresh-{name}"
    shutil.rmtree(fresh, ignore_errors=True)
    BUILDERS[name](fresh, texts)
    for directory in sorted(fresh.iterdir()):
        for file in directory.iterdir():
            file.chmod(0o644)
        shutil.rmtree(MODELS / directory.name, ignore_errors=True)
        directory.rename(MODELS / directory.name)
    fresh.rmdir()


def mark(name: str) -> Path:
    """The file that says that a checkpoint was built in the `make kit` that is under way."""
    return CACHE / f"{name}.built"


def build(names: tuple[str, ...], texts: Path) -> None:
    """What is named, one after the other."""
    for name in names:
        started = time.monotonic()
        build_one(name, texts)
        mark(name).touch()
        print(f"{name}: built in {(time.monotonic() - started) / 60:.0f} minutes", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *BUILDERS], help="all, where none is named")
    parser.add_argument("--texts", type=Path, required=True, help="the folder that kit/sources.py has made")
    arguments = parser.parse_args()
    try:
        build(tuple(arguments.names or BUILDERS), arguments.texts)
    except (NoTeacher, NoTexts, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
