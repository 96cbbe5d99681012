"""How many layers and pieces the encoder gets: students of several sizes, each distilled for a short time.

`python -m kit.choose --texts DIR` prints the table that `kit/README.md` shows. Each student goes on from where it was
stopped. The figure is what a logistic regression on its pooled output makes of 100 labels, on public opinions that
nothing was trained on.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import mean

import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from ftcourse.engine.assets import INDEX
from kit.checkpoints import MAX_LENGTH, export_encoder
from kit.data import rows
from kit.distil import distil
from kit.evaluate import OPINIONS, SEEDS, accuracy, markdown, subset, tested
from kit.teacher import CACHE, NoTeacher
from kit.texts import OPINION_LANGS, NoTexts
from kit.training import by_length, padded

STUDENTS = [
    ((0, 11), 24_000),
    ((0, 4, 8, 11), 12_000),
    ((0, 4, 8, 11), 24_000),
    ((0, 4, 8, 11), 48_000),
    ((0, 2, 4, 7, 9, 11), 24_000),
]
STEPS = 400
LABELS, BATCH_SIZE, TIMED_STEPS = 100, 16, 12


@torch.inference_mode()
def vectors(model, tokenizer, lines: list[str]) -> torch.Tensor:
    """The pooled output of each text."""
    ids = tokenizer(lines, truncation=True, max_length=MAX_LENGTH)["input_ids"]
    found = torch.empty(len(ids), model.config.hidden_size)
    for chosen in by_length([len(row) for row in ids]):
        inputs = padded([ids[i] for i in chosen], 0)
        found[chosen] = model(input_ids=inputs, attention_mask=(inputs != 0).long()).pooler_output
    return found


def few_labels(model, tokenizer, name: str, texts: Path) -> float:
    """Accuracy on a kind of opinions of a logistic regression on few labels, over the seeds."""
    lines, wanted = tested(name, OPINION_LANGS[name], texts)
    exam, scores = vectors(model, tokenizer, lines), []
    for seed in SEEDS:
        lines, labels = subset(name, OPINION_LANGS[name], LABELS, seed, texts)
        judge = LogisticRegression(max_iter=2000).fit(vectors(model, tokenizer, lines), labels)
        scores.append(accuracy(judge.predict(exam), wanted))
    return mean(scores)


def step_seconds(folder: Path) -> float:
    """Seconds of a training step on reviews of the kit, in float32: the median."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=5).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    tokenizer, reviews = AutoTokenizer.from_pretrained(folder), rows("reviews", "train", "en")
    times = []
    for step in range(TIMED_STEPS):
        chosen = reviews[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
        lines = [row["text"] for row in chosen]
        batch = tokenizer(lines, truncation=True, max_length=MAX_LENGTH, padding=True, return_tensors="pt")
        started = time.perf_counter()
        model(**batch, labels=torch.tensor([row["label"] for row in chosen])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - started)
    return sorted(times)[TIMED_STEPS // 2]


def megabytes(folder: Path) -> float:
    """Megabytes of the encoder's weights as they ship, without the heads."""
    assert (folder / INDEX).is_file()
    weights = {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}
    return sum(tensor.nbytes for name, tensor in weights.items() if name.startswith("bert.")) / 1e6


def choose(texts: Path, steps: int = STEPS) -> str:
    """The table: a row a student."""
    table = []
    for layers, size in STUDENTS:
        folder = CACHE / f"layers-{'-'.join(map(str, layers))}-pieces-{size}"
        distil(texts, steps, folder=folder, layers=layers, size=size)
        encoder = folder / "encoder"
        export_encoder(encoder, folder, layers)
        model, tokenizer = AutoModel.from_pretrained(encoder).eval(), AutoTokenizer.from_pretrained(encoder)
        scores = [few_labels(model, tokenizer, name, texts) for name in OPINIONS]
        figures = [*(f"{score:.3f}" for score in [*scores, mean(scores)])]
        row = [str(len(layers)), f"{size:,}", *figures, f"{step_seconds(encoder):.2f}", f"{megabytes(encoder):.0f}"]
        table.append(row)
        print(" ".join(row), flush=True)
    return markdown(["layers", "pieces", *OPINIONS, "mean", "seconds a step", "MB"], table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True, help="the folder that kit/sources.py has made")
    try:
        print(choose(parser.parse_args().texts))
    except (NoTeacher, NoTexts) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
