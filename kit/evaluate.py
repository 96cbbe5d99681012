"""How good the kit is: the pretrained encoder beside the same network from scratch, TF-IDF with logistic regression,
and the teacher.

`python -m kit.evaluate --texts DIR` prints the tables and writes `kit/results.json`. Measured on the kit's data and on
public opinions that nothing was trained on. The everyday sentences of the tests are scored only with `--everyday`,
because they are to stay unseen.
"""

import argparse
import csv
import json
import random
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch
from datasets import load_dataset
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    logging,
)

from ftcourse.engine.folders import written_whole
from ftcourse.kit import Kit
from kit import recognizer
from kit.checkpoints import MAX_LENGTH, MODELS
from kit.data import LANGS
from kit.distil import PREFIX
from kit.images import measure_few, measure_images
from kit.teacher import END, PAD, START, load_teacher
from kit.texts import OPINION_LANGS, NoTexts, test_opinions, traditional, training_opinions
from kit.training import by_length, classification_losses, optimize, padded, predictions, seed_everything
from kit.vocabulary import unigram

RESULTS = Path(__file__).parent / "results.json"
PARTIAL = Path(__file__).parent.parent / "build" / "evaluation.json"
EVERYDAY_TEST = Path(__file__).parent.parent / "tests" / "everyday.tsv"
TEST_LANGS = ("en", "ar", "zh")
KIT_SETS = (*(("natural", lang) for lang in LANGS), *(("reviews", lang) for lang in TEST_LANGS))
NETWORKS = ("encoder", "scratch")
KINDS = ("encoder", "scratch", "tfidf", "frozen teacher", "tuned teacher")
OPINIONS = tuple(OPINION_LANGS)
NUM_LABELS, SEEDS = (32, 100, 300, 1000), (0, 1, 2)
OTHER_NUM_LABELS = {"natural": (32, 100, 300), "reviews": (100, 1000)}  # `natural` has 300 training rows
PAIR_EPOCHS = 3
PAIR_LR = {"encoder": 3e-4, "scratch": 5e-4}
TEST_ROWS = 500
STEPS = {32: 40, 100: 80, 300: 150, 1000: 300}
BATCH_SIZE = 16
LR = {"encoder": 1e-4, "scratch": 5e-4, "tuned teacher": 5e-5}
TIMES = {"encoder": 1, "scratch": 2, "tuned teacher": 1}  # from scratch, a network needs more steps
TEACHER_LABELS, TEACHER_SEEDS = (100,), (0,)  # tuning twelve layers takes long
HIDDEN_WORDS = 500
SHIPPED = (("stars", "natural"), ("stars", "reviews"), ("sentiment", "kit films"))  # checkpoints, and what tests them


@cache
def tokenizer():
    return AutoTokenizer.from_pretrained(MODELS / "encoder")


@cache
def split(name: str, lang: str, part: str, texts: Path | None = None) -> tuple[list[str], list[int]]:
    """Texts and labels of a split of the kit, or of public opinions, in an order drawn once.

    Both have films: those of the kit are called `kit films`.
    """
    if name in OPINIONS:
        found = list((test_opinions if part == "test" else training_opinions)(name, texts))
        random.Random(name).shuffle(found)
        return [o.text for o in found], [o.label for o in found]
    dataset = load_dataset(*Kit(lang).dataset(name.removeprefix("kit ")))[part]
    return list(dataset["text"]), list(dataset["label"])


def tested(name: str, lang: str, texts: Path | None) -> tuple[list[str], list[int]]:
    return tuple(part[:TEST_ROWS] for part in split(name, lang, "test", texts))


def subset(name: str, lang: str, size: int, seed: int, texts: Path | None) -> tuple[list[str], list[int]]:
    """`size` training rows, drawn by the seed."""
    lines, labels = split(name, lang, "train", texts)
    chosen = random.Random(seed).sample(range(len(lines)), min(size, len(lines)))
    return [lines[i] for i in chosen], [labels[i] for i in chosen]


def encode(lines: list[str]) -> dict:
    return dict(tokenizer()(lines, truncation=True, max_length=MAX_LENGTH))


def teacher_ids(lines: list[str], prefix: str = PREFIX) -> list[list[int]]:
    """Ids in the teacher's own vocabulary, with its own ends."""
    return [[START, *row[: MAX_LENGTH - 2], END] for row in encode_for_teacher([prefix + line for line in lines])]


def encode_for_teacher(lines: list[str]) -> list[list[int]]:
    return [encoding.ids for encoding in teacher_tokenizer().encode_batch(lines, add_special_tokens=False)]


@cache
def teacher_tokenizer():
    teacher = load_teacher()
    found = unigram(teacher.pieces, teacher.scores, unk_id=3)
    from tokenizers import Regex, normalizers

    found.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    return found


def as_teacher_reads(lines: list[str]) -> dict:
    ids = teacher_ids(lines)
    return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}


def fresh_model(kind: str, num_labels: int):
    """The encoder or the teacher with a new head, or the encoder's network from random numbers."""
    if kind == "tuned teacher":
        teacher = load_teacher().model
        config = teacher.config
        config.num_labels = num_labels
        model = BertForSequenceClassification(config)
        model.bert.load_state_dict(teacher.state_dict(), strict=False)
        return model
    if kind == "encoder":
        return AutoModelForSequenceClassification.from_pretrained(MODELS / "encoder", num_labels=num_labels)
    config = AutoConfig.from_pretrained(MODELS / "encoder", num_labels=num_labels)
    return AutoModelForSequenceClassification.from_config(config)


def tuned(kind: str, lines: list[str], labels: list[int], seed: int):
    """A model trained on texts and labels."""
    encodings = as_teacher_reads(lines) if kind == "tuned teacher" else encode(lines)
    return trained(kind, encodings, labels, seed, STEPS[len(lines)], LR[kind])


def trained(kind: str, encodings: dict, labels: list[int], seed: int, num_steps: int, lr: float):
    """A model trained on encoded texts; of some kinds, a multiple of the steps."""
    seed_everything(seed, threads=1)
    model = fresh_model(kind, max(labels) + 1)
    model.set_attn_implementation("eager")
    pad = PAD if kind == "tuned teacher" else tokenizer().pad_token_id
    losses = classification_losses(model, encodings, labels, BATCH_SIZE, seed, pad, bf16=True)
    optimize(model, losses, num_steps * TIMES[kind], lr)
    return model


def accuracy(predicted, labels: list[int]) -> float:
    return sum(int(p == y) for p, y in zip(predicted, labels, strict=True)) / len(labels)


def score(model, lines: list[str], labels: list[int], kind: str = "encoder") -> float:
    if kind == "tuned teacher":
        return accuracy(predictions(model, as_teacher_reads(lines), PAD).tolist(), labels)
    return accuracy(predictions(model, encode(lines), tokenizer().pad_token_id).tolist(), labels)


def tfidf(lang: str, lines: list[str], labels: list[int]):
    """TF-IDF with logistic regression."""
    return make_pipeline(bag_of_words(lang), LogisticRegression(C=10, max_iter=2000)).fit(lines, labels)


def bag_of_words(lang: str) -> TfidfVectorizer:
    """TF-IDF over words (characters in Chinese) and pairs of them."""
    analyzer = "char" if lang.startswith("zh") else "word"
    return TfidfVectorizer(analyzer=analyzer, ngram_range=(1, 2), sublinear_tf=True)


@torch.inference_mode()
def teacher_vectors(lines: list[str]) -> torch.Tensor:
    """The teacher's embeddings of texts, of length one."""
    model, ids = load_teacher().model, teacher_ids(lines)
    found = torch.empty(len(ids), model.config.hidden_size)
    for rows in by_length([len(row) for row in ids]):
        inputs = padded([ids[i] for i in rows], PAD)
        mask = (inputs != PAD).long()
        states = model(input_ids=inputs, attention_mask=mask).last_hidden_state
        found[rows] = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    return torch.nn.functional.normalize(found, dim=-1)


def num_labels(name: str) -> tuple[int, ...]:
    return OTHER_NUM_LABELS.get(name, NUM_LABELS)


def measure(name: str, lang: str, size: int, seed: int, texts: Path) -> dict[str, float]:
    """Accuracy with `size` labels of the encoder, the network from scratch and TF-IDF, and across languages."""
    lines, labels = subset(name, lang, size, seed, texts)
    exam, found = tested(name, lang, texts), {}
    others = OPINION_LANGS.items() if name in OPINIONS else [(name, other) for other in LANGS]
    for kind in NETWORKS:
        model = tuned(kind, lines, labels, seed)
        found[f"{name} {lang} {size} {kind}"] = score(model, *exam)
        if kind == "encoder" and size == num_labels(name)[-1] and lang == "en":
            for other in others:
                found[f"from {name} en to {' '.join(other)}"] = score(model, *tested(*other, texts))
    classic = tfidf(lang, lines, labels)
    found[f"{name} {lang} {size} tfidf"] = accuracy(classic.predict(exam[0]), exam[1])
    return found


def measure_pairs(lang: str, seed: int, texts: Path) -> dict[str, float]:
    """Accuracy on pairs of the encoder and the network from scratch after some epochs, and of bags of words."""
    parts = load_dataset(*Kit(lang).dataset("pairs"))
    train, test = ({name: list(values) for name, values in parts[part][:].items()} for part in ("train", "test"))
    learnt, asked = (dict(tokenizer()(part["sentence1"], part["sentence2"])) for part in (train, test))
    num_steps, found = PAIR_EPOCHS * len(train["label"]) // BATCH_SIZE, {}
    for kind in NETWORKS:
        model = trained(kind, learnt, train["label"], seed, num_steps, PAIR_LR[kind])
        answers = predictions(model, asked, tokenizer().pad_token_id).tolist()
        found[f"pairs {lang} {kind}"] = accuracy(answers, test["label"])
    words = bag_of_words(lang).fit(train["sentence1"] + train["sentence2"])
    both = [both_bags(words, p) for p in (train, test)]
    judge = LogisticRegression(C=10, max_iter=2000).fit(both[0], train["label"])
    found[f"pairs {lang} tfidf"] = accuracy(judge.predict(both[1]), test["label"])
    return found


def both_bags(words: TfidfVectorizer, part: dict):
    """The bags of words of two texts, their product and their distance, side by side."""
    first, second = words.transform(part["sentence1"]), words.transform(part["sentence2"])
    return hstack([first, second, first.multiply(second), abs(first - second)]).tocsr()


def measure_teacher(name: str, lang: str, texts: Path) -> dict[str, float]:
    """Accuracy of the teacher, frozen (logistic regression on its embeddings) and tuned."""
    exam_lines, wanted = tested(name, lang, texts)
    exam_vectors, found = teacher_vectors(exam_lines), {}
    for size in num_labels(name):
        values = []
        for seed in SEEDS:
            lines, labels = subset(name, lang, size, seed, texts)
            judge = LogisticRegression(C=100, max_iter=2000).fit(teacher_vectors(lines), labels)
            values.append(accuracy(judge.predict(exam_vectors), wanted))
        found[f"{name} {lang} {size} frozen teacher"] = statistics.mean(values)
    for size in TEACHER_LABELS:
        for seed in TEACHER_SEEDS:
            model = tuned("tuned teacher", *subset(name, lang, size, seed, texts), seed)
            found[f"{name} {lang} {size} tuned teacher"] = score(model, exam_lines, wanted, kind="tuned teacher")
    return found


def hidden_word_texts(texts: Path) -> dict[str, list[str]]:
    """Texts by language that nothing was trained on."""
    found = {lang: split("natural", lang, "test")[0] for lang in LANGS}
    for name, lang in OPINION_LANGS.items():
        found[lang] += split(name, lang, "test", texts)[0][:TEST_ROWS]
    found["zh-Hant"] += [traditional(text) for text in split("zh", "zh", "test", texts)[0][:TEST_ROWS]]
    return found


@torch.inference_mode()
def measure_hidden_words(texts: Path) -> dict[str, float]:
    """How often a hidden piece is the model's first guess, or among five; and the most frequent piece's share."""
    model, tok, found = AutoModelForMaskedLM.from_pretrained(MODELS / "encoder").eval(), tokenizer(), {}
    for lang, lines in hidden_word_texts(texts).items():
        rng, hits, among, wanted = random.Random(lang), 0, 0, []
        rng.shuffle(lines)
        for line in lines[:HIDDEN_WORDS]:
            ids = tok(line, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")["input_ids"]
            if ids.shape[1] < 4:
                continue
            place = rng.randrange(1, ids.shape[1] - 1)
            right = int(ids[0, place])
            ids[0, place] = tok.mask_token_id
            guesses = model(input_ids=ids).logits[0, place].topk(5).indices.tolist()
            hits, among = hits + (guesses[0] == right), among + (right in guesses)
            wanted.append(right)
        number = len(wanted)
        found |= {f"hidden {lang} first": hits / number, f"hidden {lang} five": among / number}
        found[f"hidden {lang} most frequent"] = Counter(wanted).most_common(1)[0][1] / number
    return found


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as written": lambda text: text,
    "without vowel marks": lambda text: "".join(c for c in text if not "\u064b" <= c <= "\u0652"),
    "bare alif": lambda text: text.translate(str.maketrans("أإآ", "ااا")),
    "ه for ة": lambda text: text.replace("ة", "ه"),
    "ي for ى": lambda text: text.replace("ى", "ي"),
    "drawn out": lambda text: text.replace("و ", "وووو ").replace("ا ", "اااا "),
    "Arabic digits": lambda text: text.translate(str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")),
}


def measure_shipped(texts: Path) -> dict[str, float]:
    """Accuracy of the tuned checkpoints that ship, and of `stars` on Arabic in other spellings."""
    found = {}
    models = {
        name: AutoModelForSequenceClassification.from_pretrained(MODELS / name).eval()
        for name in ("stars", "sentiment")
    }
    for lang in LANGS:
        for kind, name in SHIPPED:
            found[f"{kind} {name} {lang}"] = score(models[kind], *tested(name, lang, texts))
    for name, lang in OPINION_LANGS.items():
        found[f"sentiment opinions {name}"] = score(models["sentiment"], *tested(name, lang, texts))
    for name in OTHER_NUM_LABELS:
        lines, labels = tested(name, "ar", texts)
        for spelling, change in SPELLINGS.items():
            found[f"spelling {name} {spelling}"] = score(models["stars"], [change(line) for line in lines], labels)
    return found


def measure_everyday() -> dict[str, float]:
    """Share of the everyday sentences of the tests that `sentiment` gets right, and `stars` the sign of."""
    with open(EVERYDAY_TEST, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    found = {}
    for name in ("sentiment", "stars"):
        model = AutoModelForSequenceClassification.from_pretrained(MODELS / name).eval()
        for lang in LANGS:
            chosen = [row for row in rows if row["lang"] == lang]
            signs = [int(row["label"] == "positive") for row in chosen]
            answers = predictions(model, encode([row["text"] for row in chosen]), tokenizer().pad_token_id).tolist()
            middle = (model.config.num_labels - 1) / 2
            found[f"everyday {name} {lang}"] = accuracy(
                [-1 if a == middle else int(a > middle) for a in answers], signs
            )
    return found


def measure_speech(texts: Path) -> dict[str, float]:
    """Word error rate of `speech` on held-out synthetic voices; of `texts`, nothing is needed."""
    return {f"speech {lang}": rate for lang, rate in recognizer.measure().items()}


def jobs(texts: Path, seeds: tuple[int, ...] = SEEDS) -> dict[str, tuple[Callable, tuple]]:
    """Everything that is measured, by name, as calls that do not depend on one another."""
    sets = [*OPINION_LANGS.items(), *KIT_SETS]
    for_all = (measure_shipped, measure_images, measure_speech, measure_hidden_words)
    calls: list[tuple[Callable, tuple]] = [(function, (texts,)) for function in for_all]
    for seed in seeds:  # the first seed of everything comes before the others: a table fills up evenly
        calls += [(measure_pairs, (lang, seed, texts)) for lang in LANGS]
        calls += [(measure, (name, lang, size, seed, texts)) for name, lang in sets for size in num_labels(name)]
        calls += [(measure_few, (seed, texts))]
        if seed == seeds[0]:
            calls += [(measure_teacher, (name, lang, texts)) for name, lang in sets]
    return {
        " ".join(map(str, (function.__name__, *arguments[:-1]))): (function, arguments) for function, arguments in calls
    }


def run(job: tuple[str, tuple[Callable, tuple]]) -> tuple[str, dict[str, float]]:
    """One call, on one thread."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(1)
    name, (function, arguments) = job
    return name, function(*arguments)


def keep(place: Path, content: dict) -> None:
    text = json.dumps(content, indent=1) + "\n"
    with written_whole(place) as part:
        part.write_text(text, encoding="utf-8")


def evaluate(texts: Path, seeds: tuple[int, ...] = SEEDS) -> dict[str, list[float]]:
    """Everything that is measured, by name: a value a seed. Writes it to `RESULTS`.

    Two processes share the work. What is done is kept in `build/`, so that a run that was stopped goes on from there.
    """
    PARTIAL.parent.mkdir(exist_ok=True)
    done = json.loads(PARTIAL.read_text()) if PARTIAL.exists() else {}
    wanted = jobs(texts, seeds)
    with get_context("spawn").Pool(2) as pool:
        for name, measured in pool.imap_unordered(run, [job for job in wanted.items() if job[0] not in done]):
            done[name] = measured
            keep(PARTIAL, done)
            print(f"{len(done)} of {len(wanted)}: {name}", flush=True)
    results = collected(done, list(wanted))
    keep(RESULTS, results)
    return results


def collected(done: dict[str, dict[str, float]], names: list[str]) -> dict[str, list[float]]:
    """The values of all calls, by what they measure, in the order of the calls; the everyday scores stay."""
    results: dict[str, list[float]] = {}
    for name in names:
        for key, value in done.get(name, {}).items():
            results.setdefault(key, []).append(round(value, 4))
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    return results | {key: values for key, values in old.items() if key.startswith("everyday")}


def score_speech(texts: Path) -> dict[str, list[float]]:
    """Scores `speech`, in place of what was noted before."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    results |= {key: [round(value, 4)] for key, value in measure_speech(texts).items()}
    keep(RESULTS, results)
    return results


def score_everyday() -> dict[str, list[float]]:
    """Scores the everyday sentences and adds a value to those that were noted before."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    for key, value in measure_everyday().items():
        results.setdefault(key, []).append(round(value, 4))
    keep(RESULTS, results)
    return results


def mean(results: dict, key: str) -> str:
    """Mean over the seeds and, where there are several, half their spread."""
    values = results.get(key)
    if not values:
        return "–"
    spread = f" ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table as Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


SET_NAMES = {
    "films": "films en",
    "products": "products en",
    "zh": "opinions zh",
    "ar": "opinions ar",
}


def few_labels(results: dict, names: list[tuple[str, str]]) -> str:
    rows = [
        [
            SET_NAMES.get(name, f"`{name}` {lang}"),
            str(size),
            *(mean(results, f"{name} {lang} {size} {kind}") for kind in KINDS),
        ]
        for name, lang in names
        for size in num_labels(name)
    ]
    return markdown(
        ["test set", "labels", "encoder", "from scratch", "TF-IDF", "teacher, frozen", "teacher, tuned"], rows
    )


def report(results: dict) -> str:
    """The tables that `kit/README.md` shows."""
    number = max(map(len, results.values()), default=0)
    test_sets = [" ".join(pair) for pair in OPINION_LANGS.items()]
    seeds = f"mean of {number} seeds ± half the spread; without ±, one seed" if number > 1 else "one seed"
    parts = [
        f"Accuracy on public opinions, two labels ({seeds}):",
        few_labels(results, list(OPINION_LANGS.items())),
        f"Accuracy on the kit's `natural` and `reviews`, five labels ({seeds}):",
        few_labels(results, list(KIT_SETS)),
        f"Accuracy on the kit's `pairs` after {PAIR_EPOCHS} epochs, two labels ({seeds}):",
        markdown(
            ["test set", "encoder", "from scratch", "TF-IDF of both texts"],
            [
                [f"`pairs` {lang}", *(mean(results, f"pairs {lang} {kind}") for kind in (*NETWORKS, "tfidf"))]
                for lang in LANGS
            ],
        ),
        "Tuned on English texts (1,000; of `natural` 300), tested in every language:",
        markdown(
            ["tuned on", *SET_NAMES.values()],
            [
                [SET_NAMES[name], *(mean(results, f"from {name} en to {other}") for other in test_sets)]
                for name in ("films", "products")
            ],
        ),
        markdown(
            ["tuned on", *LANGS],
            [
                [f"`{name}` en", *(mean(results, f"from {name} en to {name} {lang}") for lang in LANGS)]
                for name in OTHER_NUM_LABELS
            ],
        ),
        f"One hidden piece a text, in {HIDDEN_WORDS} texts a language that nothing was trained on:",
        markdown(
            ["language", "hit first", "among five", "always the most frequent piece"],
            [
                [lang, *(mean(results, f"hidden {lang} {what}") for what in ("first", "five", "most frequent"))]
                for lang in LANGS
            ],
        ),
        "The checkpoints `stars` and `sentiment` as they ship; everyday: two earlier tunings, of `stars` the sign:",
        markdown(
            [
                "language",
                "`stars` on `natural`",
                "`stars` on `reviews`",
                "`sentiment` on `films`",
                "everyday: `sentiment`",
                "everyday: `stars`",
            ],
            [
                [
                    lang,
                    *(mean(results, f"{kind} {name} {lang}") for kind, name in SHIPPED),
                    *(each(results, f"everyday {name} {lang}") for name in ("sentiment", "stars")),
                ]
                for lang in LANGS
            ],
        ),
        markdown(
            ["`sentiment` on public opinions", *SET_NAMES.values()],
            [["accuracy", *(mean(results, f"sentiment opinions {name}") for name in OPINIONS)]],
        ),
        "`stars` on the same Arabic reviews in other spellings:",
        markdown(
            ["", *SPELLINGS],
            [[f"`{name}`", *(mean(results, f"spelling {name} {s}") for s in SPELLINGS)] for name in OTHER_NUM_LABELS],
        ),
        "`speech` on the test split of its data set, whose voices it has never heard:",
        markdown(
            ["word error rate (Chinese: of letters)", *LANGS],
            [["`speech`", *(mean(results, f"speech {lang}") for lang in LANGS)]],
        ),
    ]
    return "\n\n".join(parts)


def each(results: dict, key: str) -> str:
    """Every value, in the order in which they were noted."""
    return ", then ".join(f"{value:.2f}" for value in results.get(key, [])) or "–"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True, help="the folder that kit/sources.py has made")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--everyday", action="store_true", help="score the everyday sentences of the tests, nothing else")
    only.add_argument("--speech", action="store_true", help="score `speech`, nothing else")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="how many to train with: fewer are a first look")
    arguments = parser.parse_args()
    try:
        if arguments.everyday or arguments.speech:
            found = score_everyday() if arguments.everyday else score_speech(arguments.texts)
        else:
            found = evaluate(arguments.texts, SEEDS[: arguments.seeds])
        print(report(found))
    except NoTexts as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
