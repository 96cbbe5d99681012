"""Model cards and the manifest: what each checkpoint was trained on, how, and how well it does."""

import hashlib
import json
import statistics
from pathlib import Path

import matplotlib.pyplot as plt

from kit.checkpoints import (
    BATCH_SIZE,
    ENCODER,
    MASKED_SHARE,
    PRETRAINING_DOMAINS,
    STEPS,
    WRITER,
    WRITER_VOCAB_SIZE,
)
from kit.data import ASSETS, LANGS
from kit.evaluate import NUM_LABELS, RESULTS, TEST_LANGS, mean, report

HEAD = """---
language: [en, ar, zh]
license: apache-2.0
library_name: transformers
pipeline_tag: {task}
---
# {name}

{summary}

## Data
{data}

## Recipe
{recipe} Seed 0, AdamW with weight decay 0.01, 6 % warmup and linear decay. `kit/checkpoints.py` holds the code.

## Results
{results}

## Limits
{limits}
"""
SHAPE = "{num_hidden_layers} layers, hidden size {hidden_size}, {num_attention_heads} heads".format(**ENCODER)
DOMAINS = ", ".join(PRETRAINING_DOMAINS)
NAMES = {"encoder": "pretrained", "scratch": "from scratch", "tfidf": "TF-IDF"}
LANGUAGES = {"en": "English", "ar": "Arabic", "zh": "Chinese"}
ENGLISH = "All text comes from the phrase bank of this project, written by hand in English, Arabic and Chinese, and joined by rules."
SMALL = "Small, and raised on a small world: reviews of seven kinds of things. Made for learning how fine-tuning works, not for use on the public."


def results_of(name: str, results: dict) -> str:
    """What the evaluation says of a checkpoint."""
    if name == "encoder":
        return report(results)
    if name == "writer":
        return "Not measured: it is there to be read."
    sets = {"stars": ("reviews", "natural"), "sentiment": ("films",)}[name]
    return "\n".join(
        f"- `{part}`, {lang}: accuracy {mean(results, f'{name} {part} {lang}')}" for part in sets for lang in LANGS
    )


CARDS = {
    "encoder": {
        "task": "fill-mask",
        "summary": f"A small multilingual BERT ({SHAPE}) to be fine-tuned. Stands in for `google-bert/bert-base-multilingual-cased`.",
        "data": f"{ENGLISH} Only the domains {DOMAINS}: restaurants and films are new to it, and so are the held-out wordings of every domain. "
        "Reviews and pairs are drawn anew for every batch, in `en`, `ar`, `zh` and `zh-Hant`. "
        "The vocabulary comes from the same clauses, with the common Han characters added.",
        "recipe": f"{STEPS['encoder']:,} steps of {BATCH_SIZE}, in all languages at once, reviews and pairs in turn. The word vectors start from latent semantic analysis of the clauses, a clause and its "
        f"translations counted as one text. Four tasks: guess hidden words ({MASKED_SHARE:.0%}); tell how many stars a review of the five domains has (this head is thrown away); find a "
        "review's other version, in another language, other words or both, among 32; tell whether two texts say the same "
        "(the next-sentence head of `BertForPreTraining`: 0 means the same). Learning rate 7e-4, no dropout, bfloat16.",
        "limits": f"{SMALL} It has seen ratings of other kinds of things, so it is a better start for reviews than for other tasks. Rare words fall into many tokens. Guessing hidden words, it finds words of the right subject, seldom one that fits the sentence.",
    },
    "stars": {
        "task": "text-classification",
        "summary": "The encoder fine-tuned to tell how many stars a restaurant review has. Stands in for `nlptown/bert-base-multilingual-uncased-sentiment`.",
        "data": "The training split of `reviews` in all languages.",
        "recipe": f"{STEPS['stars']:,} steps of 64 at learning rate 3e-4, float32.",
        "limits": SMALL,
    },
    "sentiment": {
        "task": "text-classification",
        "summary": 'The encoder fine-tuned to tell negative from positive. Stands in for the default of `pipeline("sentiment-analysis")`.',
        "data": "The training splits of `films`, and of `reviews` without the three-star ones, in all languages.",
        "recipe": f"{STEPS['sentiment']:,} steps of 64 at learning rate 3e-4, float32.",
        "limits": f"{SMALL} It has no answer for texts that are neither.",
    },
    "writer": {
        "task": "text-generation",
        "summary": "A small GPT-2 ({n_layer} layers, hidden size {n_embd}, byte-level BPE of {vocab:,} tokens) that continues reviews.".format(
            **WRITER, vocab=WRITER_VOCAB_SIZE
        ),
        "data": f"{ENGLISH} 1,000 reviews of each of the seven domains, each in `en`, `ar` and `zh`, without the held-out wordings.",
        "recipe": f"{STEPS['writer']:,} steps of 32 at learning rate 1e-3, bfloat16.",
        "limits": f"{SMALL} It was trained briefly: what it writes has the look of a review, but seldom makes a sentence.",
    },
}


def write_cards(results: dict) -> None:
    """A README.md in the folder of each checkpoint."""
    for name, card in CARDS.items():
        text = HEAD.format(name=name, results=results_of(name, results), **card)
        (ASSETS / "models" / name / "README.md").write_text(text, encoding="utf-8")


def write_manifest(results: dict) -> None:
    """Size and hash of every file of the kit, and the results, in `manifest.json`."""
    paths = sorted(
        p for p in ASSETS.rglob("*") if p.is_file() and "__pycache__" not in p.parts and p.name != "manifest.json"
    )
    files = {p.relative_to(ASSETS).as_posix(): entry(p) for p in paths}
    content = json.dumps({"files": files, "results": results}, indent=1)
    (ASSETS / "manifest.json").write_text(content + "\n", encoding="utf-8")


def entry(path: Path) -> dict:
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def write_readme(results: dict) -> None:
    """The tables of `kit/README.md`, between its markers."""
    path = RESULTS.parent / "README.md"
    start, end = "<!-- results -->\n", "<!-- /results -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(start)
    _, _, after = rest.partition(end)
    path.write_text(f"{before}{start}{report(results)}\n{end}{after}", encoding="utf-8")


def draw_curves(results: dict) -> None:
    """The picture of the front page, `curves.svg`: accuracy against number of labels. The same bytes each time."""
    plt.rcParams |= {"svg.hashsalt": "ftcourse", "font.size": 9}
    figure, axes = plt.subplots(1, len(TEST_LANGS), figsize=(8, 2.6), sharey=True, layout="constrained")
    for axis, lang in zip(axes, TEST_LANGS, strict=True):
        for kind, name in NAMES.items():
            means = [statistics.mean(results[f"reviews {lang} {size} {kind}"]) for size in NUM_LABELS]
            axis.plot(NUM_LABELS, means, marker="o", label=name)
        axis.axhline(1 / 5, color="grey", linestyle=":", label="guessing")
        axis.set(xscale="log", xticks=NUM_LABELS, xticklabels=NUM_LABELS, xlabel="labels", title=LANGUAGES[lang])
        axis.minorticks_off()
    axes[0].set(ylim=(0, 1), ylabel="accuracy")
    axes[0].legend(loc="upper left", fontsize=7, ncols=2)
    figure.savefig(RESULTS.parent / "curves.svg", metadata={"Date": None})
    plt.close(figure)


def write_all() -> None:
    """Cards, manifest, tables and picture, from the stored results."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    write_cards(results)
    write_readme(results)
    draw_curves(results)
    write_manifest(results)


if __name__ == "__main__":
    write_all()
