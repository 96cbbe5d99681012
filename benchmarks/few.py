"""What a point of accuracy costs with few labels: full tuning, frozen vectors, SetFit, and models without a network,
each trained on the same 100 reviews of a seed and asked the same texts; seconds are those of training."""

import logging
import math
import re
import statistics
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec

import numpy as np
import torch
from datasets import Dataset, load_dataset
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from transformers import AutoModel, AutoTokenizer, DataCollatorWithPadding

from benchmarks.measure import Contestant, missing, report, take_turns
from benchmarks.predict import answers
from ftcourse.data import subset, tokenize
from ftcourse.engine.batches import pad_rows, token_batches
from ftcourse.engine.methods import more_steps
from ftcourse.engine.models import start_model
from ftcourse.engine.precision import choose_precision
from ftcourse.finetune import default_config
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, train

SEEDS, TEST, PAIRS = 3, 1000, 2
TUNED, FROZEN, TFIDF, FASTTEXT = "full tuning", "frozen vectors", "TF-IDF, LinearSVC", "fastText-like"
SETFIT = "SetFit, {} pairs a row"
Classifier = Callable[[list[str]], np.ndarray]  # numbers of labels for texts


@dataclass(frozen=True)
class FewTask:
    """Some rows with labels to learn from, drawn by seed, and others to be asked."""

    rows: int = 100
    test_rows: int = TEST

    @cached_property
    def splits(self) -> dict[str, Dataset]:
        return load_dataset(*Kit().dataset("reviews"))

    @cached_property
    def test(self) -> Dataset:
        return self.splits["test"].select(range(self.test_rows))

    @property
    def names(self) -> list[str]:
        return self.splits["train"].features["label"].names

    def train(self, seed: int) -> Dataset:
        return subset(self.splits["train"], self.rows, seed=seed)


def tuned(rows: Dataset, names: list[str], seed: int, config: TrainConfig | None = None) -> Callable[[], Classifier]:
    """All weights of the kit's encoder, with the settings that `finetune` takes by itself, or with others."""
    network, tokenizer = start_model(Kit().model("encoder"), names, seed)
    config = config or more_steps(default_config(None), len(rows))
    data, collate = tokenize(rows, tokenizer), DataCollatorWithPadding(tokenizer)
    choose_precision(network, data, collate, config)

    def work() -> Classifier:
        train(network, data, collate=collate, config=config)
        return partial(answers, Predictor(network, tokenizer, precision="auto"))

    return work


def vectors(texts: list[str], encoder, tokenizer) -> np.ndarray:
    """The mean of each text's token vectors, shape (texts, width), from an encoder that stays as it is."""
    encoded = tokenizer(texts, truncation=True)
    batches = token_batches([len(ids) for ids in encoded["input_ids"]], 128, 2048)
    found = np.zeros((len(texts), encoder.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for group in batches:
            batch = pad_rows(encoded, group, tokenizer)
            mask = batch["attention_mask"].unsqueeze(-1)
            found[group] = ((encoder(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)).numpy()
    return found


def frozen(rows: Dataset, names: list[str], seed: int) -> Callable[[], Classifier]:
    """Logistic regression over the vectors of the kit's encoder."""
    encoder = AutoModel.from_pretrained(Kit().model("encoder")).eval()
    tokenizer = AutoTokenizer.from_pretrained(Kit().model("encoder"))

    def work() -> Classifier:
        head = LogisticRegression(max_iter=1000).fit(vectors(rows["text"][:], encoder, tokenizer), rows["label"][:])
        return lambda texts: head.predict(vectors(texts, encoder, tokenizer))

    return work


def setfit(rows: Dataset, names: list[str], seed: int, pairs: int) -> Callable[[], Classifier]:
    """SetFit itself: the kit's encoder learns from pairs of texts, alike or not, `pairs` of each kind a row; then
    logistic regression over its vectors."""
    logging.getLogger("setfit").setLevel(logging.ERROR)
    with warnings.catch_warnings(action="ignore"):
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.models import Pooling, Transformer
        from setfit import SetFitModel, Trainer, TrainingArguments
        from transformers import PrinterCallback, ProgressCallback

        words = Transformer(Kit().model("encoder"), max_seq_length=128)
        body = SentenceTransformer(modules=[words, Pooling(words.auto_model.config.hidden_size)], device="cpu")
        options = {"batch_size": 16, "num_epochs": 1, "num_iterations": pairs, "seed": seed, "report_to": "none"}
        options |= {"output_dir": "build/bench/setfit", "save_strategy": "no", "show_progress_bar": False}
        model = SetFitModel(model_body=body, model_head=LogisticRegression(max_iter=1000))
        trainer = Trainer(model=model, args=TrainingArguments(**options), train_dataset=rows)
        for callback in (PrinterCallback, ProgressCallback):
            trainer.st_trainer.remove_callback(callback)

    def work() -> Classifier:
        with warnings.catch_warnings(action="ignore"):
            trainer.train()
        return lambda texts: np.asarray(model.predict(texts, batch_size=32, show_progress_bar=False))

    return work


def tfidf(rows: Dataset, names: list[str], seed: int) -> Callable[[], Classifier]:
    """Words and pairs of words, counted and weighted, and a linear classifier: the baseline of chapter 08."""
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32, token_pattern=r"\w+|[^\w\s]+")
    judge = make_pipeline(words, LinearSVC(random_state=seed))
    return lambda: judge.fit(rows["text"][:], rows["label"][:]).predict


BUCKETS = 2**16


def hashed(text: str) -> torch.Tensor:
    """The numbers of a text's words and pairs of words, which fall into buckets, as in fastText.

    >>> len(hashed("good food, good mood"))
    7
    """
    words = re.findall(r"\w+", text.lower()) or [""]
    units = words + [f"{one} {two}" for one, two in zip(words, words[1:], strict=False)]
    return torch.tensor([zlib.crc32(unit.encode()) % BUCKETS for unit in units])


def fasttext(rows: Dataset, names: list[str], seed: int) -> Callable[[], Classifier]:
    """fastText's network in PyTorch: the mean of hashed word and word-pair vectors, and a linear layer."""
    torch.manual_seed(seed)
    bag, head = torch.nn.EmbeddingBag(BUCKETS, 64, mode="mean", sparse=True), torch.nn.Linear(64, len(names))

    def logits(units: list[torch.Tensor]) -> torch.Tensor:
        starts = np.cumsum([0, *(len(one) for one in units[:-1])])
        return head(bag(torch.cat(units), torch.tensor(starts)))

    def work() -> Classifier:
        units, labels = [hashed(text) for text in rows["text"]], torch.tensor(rows["label"][:])
        optimizers = torch.optim.SparseAdam(bag.parameters(), lr=0.01), torch.optim.Adam(head.parameters(), lr=0.01)
        for _ in range(30):
            for some in torch.randperm(len(units)).split(16):
                torch.nn.functional.cross_entropy(logits([units[row] for row in some]), labels[some]).backward()
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad()
        return lambda texts: logits([hashed(text) for text in texts]).argmax(1).numpy()

    return work


def contestants(task: FewTask, pairs: tuple[int, ...]) -> dict[str, Contestant]:
    """All of them, ready to take turns; SetFit only where it is installed."""
    methods = {TUNED: tuned, FROZEN: frozen}
    methods |= {SETFIT.format(number): partial(setfit, pairs=number) for number in pairs}
    methods |= {TFIDF: tfidf, FASTTEXT: fasttext}
    found = {name: partial(turn, task, method) for name, method in methods.items()}
    if not find_spec("setfit"):
        found |= {SETFIT.format(number): missing("setfit") for number in pairs}
    return found


def turn(task: FewTask, method: Callable, seed: int) -> Callable[[], dict]:
    """One method with the rows of a seed: training is timed; the texts are asked afterwards, by `asked`."""
    work = method(task.train(seed), task.names, seed)
    return lambda: {"classifier": work()}


def asked(task: FewTask, results: dict) -> dict[str, list[np.ndarray]]:
    """Which texts each contestant answers right, one array a round; puts accuracy in the place of the classifiers."""
    texts, labels, right = task.test["text"][:], np.array(task.test["label"][:]), {name: [] for name in results}
    for name, runs in results.items():
        for run in runs if isinstance(runs, list) else []:
            correct = run.pop("classifier")(texts) == labels
            right[name].append(correct)
            run["accuracy"] = float(correct.mean())
    return right


def difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> dict[str, float]:
    """By how many points of accuracy one is better than another on the same texts, averaged over the seeds, and the
    90 % interval that the choice of texts leaves.

    >>> difference([np.array([True] * 4)], [np.array([True, True, True, False])])["points"]
    25.0
    """
    each = 100 * (np.mean(ours, axis=0) - np.mean(theirs, axis=0))
    half = 1.645 * each.std(ddof=1) / math.sqrt(len(each))
    return {"points": float(each.mean()), "low": float(each.mean() - half), "high": float(each.mean() + half)}


def rows_of(results: dict, right: dict[str, list], ours: str) -> list[dict]:
    """One row a contestant: median seconds, mean accuracy, and by how many points `ours` is better."""
    rows = []
    for name, runs in results.items():
        if isinstance(runs, str):
            rows.append({"name": name, "note": runs})
            continue
        row = {"name": name, "seconds": statistics.median(run["seconds"] for run in runs)}
        row["accuracy"] = statistics.mean(run["accuracy"] for run in runs)
        if right.get(ours):
            row |= difference(right[ours], right[name])
        rows.append(row | {"runs": runs})
    return rows


def main(
    pairs: tuple[int, ...] = (PAIRS,), rows: int = 100, seeds: int = SEEDS, test_rows: int = TEST, name: str = "few"
):
    def parts() -> Iterator[tuple[str, list[dict]]]:
        task = FewTask(rows, test_rows)
        results = take_turns(contestants(task, pairs), seeds)
        yield f"{rows} labels, {seeds} seeds, {test_rows:,} texts", rows_of(results, asked(task, results), TUNED)

    report(name, parts())
