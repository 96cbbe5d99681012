"""Whether speed costs accuracy: `train` beside `Trainer`, from the same weights, on the same rows, for three seeds."""

from collections.abc import Callable, Iterator
from functools import partial

from datasets import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments

from benchmarks.few import SEEDS, TEST, Classifier, FewTask, asked, rows_of, tuned, turn
from benchmarks.measure import report, take_turns
from benchmarks.predict import answers
from benchmarks.training import BATCH, DEFAULTS, LR, OURS
from ftcourse.data import tokenize
from ftcourse.engine.models import start_model
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig


def ours(rows: Dataset, names: list[str], seed: int, epochs: int) -> Callable[[], Classifier]:
    config = TrainConfig(epochs=epochs, batch_size=BATCH, lr=LR, precision="auto", seed=seed)
    return tuned(rows, names, seed, config)


def theirs(rows: Dataset, names: list[str], seed: int, epochs: int) -> Callable[[], Classifier]:
    model, tokenizer = start_model(Kit().model("encoder"), names, seed)
    options = {"num_train_epochs": epochs, "per_device_train_batch_size": BATCH, "learning_rate": LR, "seed": seed}
    options |= {"save_strategy": "no", "report_to": "none", "disable_tqdm": True, "logging_strategy": "no"}
    args = TrainingArguments(output_dir="build/bench/trainer", **options)
    runner = Trainer(model, args, train_dataset=tokenize(rows, tokenizer), processing_class=tokenizer)
    runner.remove_callback(PrinterCallback)

    def work() -> Classifier:
        runner.train()
        return partial(answers, Predictor(model.eval(), tokenizer, precision="auto"))

    return work


def main(rows: int = 120, epochs: int = 3, seeds: int = SEEDS, test_rows: int = TEST) -> None:
    def parts() -> Iterator[tuple[str, list[dict]]]:
        task, methods = FewTask(rows, test_rows), {OURS: ours, DEFAULTS: theirs}
        found = {name: partial(turn, task, partial(method, epochs=epochs)) for name, method in methods.items()}
        results = take_turns(found, seeds)
        title = f"{rows} reviews, {epochs} epochs, {seeds} seeds, {test_rows:,} texts"
        yield title, rows_of(results, asked(task, results), OURS)

    report("accuracy", parts())
