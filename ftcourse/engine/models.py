"""Models and their tokenizers: loaded safely, started with a new head, saved whole."""

import os
import reprlib
import shutil
from numbers import Integral
from pathlib import Path

import torch
from datasets import Dataset
from safetensors import SafetensorError
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    default_data_collator,
    set_seed,
)

from ftcourse.engine.adapters import adapter_files, load_adapter
from ftcourse.engine.assets import check_folder
from ftcourse.engine.batches import Collate
from ftcourse.engine.columns import check_tokenizer
from ftcourse.engine.folders import PART, reason, sync
from ftcourse.engine.hub import why_offline
from ftcourse.engine.inputs import position_limit
from ftcourse.engine.launch import process_number, wait_for_all
from ftcourse.engine.loading import loading
from ftcourse.engine.messages import in_words, trouble

WINDOWS = "reads_in_windows"  # what a model's configuration says, where it was trained so
LONGEST = 1_000_000
USUAL_LENGTH = 512  # where neither model nor tokenizer says a number


def load_classifier(folder: str | os.PathLike) -> PreTrainedModel:
    """A fine-tuned classifier from a folder or a name on the Hub, in 32 bits, on the GPU where there is one.

    Raises `ValueError` where there are no safetensors weights, or none for the classification head.

    >>> from ftcourse.kit import Kit
    >>> load_classifier(Kit("en").model("stars")).config.num_labels
    5
    """
    if adapter := adapter_files(folder, bool(why_offline(folder))):
        return on_device(load_adapter(folder, adapter))
    with loading(folder, "no_classifier"):
        options = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": bool(why_offline(folder))}
        options |= {"dtype": torch.float32, "output_loading_info": True}
        model, report = AutoModelForSequenceClassification.from_pretrained(folder, **options)
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"]))
        raise trouble("untrained", given=str(folder), missing=missing)
    return on_device(model)


def on_device(model: PreTrainedModel) -> PreTrainedModel:
    """The model on the GPU where there is one."""
    return model.to(torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "cpu")


def load_tokenizer(folder: str | os.PathLike) -> PreTrainedTokenizerBase:
    """The tokenizer that belongs to a model, from its folder or its name on the Hub. `ValueError` where it is broken.

    >>> from ftcourse.kit import Kit
    >>> load_tokenizer(Kit("en").model("stars")).model_max_length
    512
    """
    with loading(folder, "broken_tokenizer"):
        options = {"trust_remote_code": False, "local_files_only": bool(why_offline(folder))}
        return AutoTokenizer.from_pretrained(folder, **options)


def classifier_and_tokenizer(
    model: str | os.PathLike | PreTrainedModel, tokenizer: PreTrainedTokenizerBase | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Both of them, loaded where `model` is a folder or a name on the Hub.

    Raises `ValueError` for a model without its tokenizer, or one that neither chooses labels nor says a number.

    >>> from ftcourse.kit import Kit
    >>> model, tokenizer = classifier_and_tokenizer(Kit().model("stars"))
    >>> model.config.num_labels
    5
    """
    if isinstance(model, str | os.PathLike):
        folder, model = model, load_classifier(model)
        tokenizer = load_tokenizer(folder) if tokenizer is None else tokenizer
    if not hasattr(model, "config"):
        raise trouble("predictor_model", given=reprlib.repr(model))
    if tokenizer is not None:
        check_tokenizer(tokenizer)
    if tokenizer is None or len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise trouble("tokenizer_missing")
    if tokenizer.pad_token_id is None:
        raise trouble("no_padding")
    num_labels, problem = model.config.num_labels, model.config.problem_type
    if (num_labels == 1) != (problem == "regression"):
        raise trouble("not_one_label", num_labels=num_labels, problem=problem)
    name_labels(model)
    return model, tokenizer


def name_labels(model: PreTrainedModel) -> None:
    """Make the names of a model's labels texts; a `ValueError` where their numbers do not go from 0 to the last."""
    names, numbers = model.config.id2label, range(model.config.num_labels)
    if {*names} != {*numbers}:
        values = {"given": ", ".join(map(str, names)), "expected": ", ".join(map(str, numbers))}
        raise trouble(
            "no_classifier",
            given=getattr(model, "name_or_path", type(model).__name__),
            reason=in_words("model_numbers", **values),
        )
    if not all(isinstance(name, str) for name in names.values()):
        model.config.id2label = {number: str(names[number]) for number in numbers}


def max_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most tokens that a text may have, special tokens included; None where there is no limit.

    >>> from ftcourse.kit import Kit
    >>> folder = Kit("en").model("stars")
    >>> max_tokens(AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
    512
    """
    limits = [limit for limit in (most_tokens(model) or 0, tokenizer.model_max_length) if 0 < limit < LONGEST]
    return min(limits, default=None)


def most_tokens(model: PreTrainedModel) -> int | None:
    """How many tokens a model was made to read at once, whatever its tokenizer says; None where that is not known.

    >>> from ftcourse.kit import Kit
    >>> most_tokens(load_classifier(Kit("en").model("stars")))
    512
    """
    limit = position_limit(model) or getattr(model.config, "max_position_embeddings", None) or 0
    return limit if limit > 0 else None


def check_reach(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int) -> int:
    """The number of tokens itself, where a model can read as many at once, and a pair of texts fits in.

    >>> from ftcourse.kit import Kit
    >>> check_reach(*classifier_and_tokenizer(Kit("en").model("stars")), 1024)
    Traceback (most recent call last):
    ValueError: max_length is 1024; this model reads from 5 to 512 tokens at once; ...
    """
    least, most = tokenizer.num_special_tokens_to_add(pair=True) + 2, most_tokens(model) or LONGEST
    whole = isinstance(max_length, Integral) and not isinstance(max_length, bool)
    if not whole or not least <= max_length <= most:
        raise trouble("reach", given=max_length, least=least, most=most)
    return int(max_length)


def reading_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length: int | None, windows: bool | None
) -> tuple[int | None, bool]:
    """How many tokens of a text are read at once, and whether more are read in windows: as asked, else as trained.

    >>> from ftcourse.kit import Kit
    >>> reading_of(*classifier_and_tokenizer(Kit("en").model("stars")), None, None)
    (512, False)
    """
    if windows not in (None, True, False):
        raise trouble("windows", given=reprlib.repr(windows))
    windows = bool(getattr(model.config, WINDOWS, False)) if windows is None else bool(windows)
    if windows:
        check_tokenizer(tokenizer, fast=True)
    reach = max_tokens(model, tokenizer) if max_length is None else check_reach(model, tokenizer, max_length)
    return reach, windows and reach is not None


def start_model(
    name: str,
    labels: list[str],
    seed: int,
    problem: str = "single_label_classification",
    max_length: int | None = None,
    windows: bool = False,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A pretrained model with a new head for the labels, and its tokenizer, for texts as long as the model reads.

    `problem` is the library's `problem_type`: it decides on the loss, and on what the logits mean. With `max_length`,
    texts are as long as that; `windows` is noted in the model. Raises `ValueError`, in one line, for an unknown name.

    >>> from ftcourse.kit import Kit
    >>> start_model(Kit().model("encoder"), ["bad", "good"], 42)[0].config.id2label
    {0: 'bad', 1: 'good'}
    """
    set_seed(seed)
    with loading(name):
        where = {"trust_remote_code": False, "local_files_only": bool(why_offline(name))}
        if adapter_files(name, where["local_files_only"]):
            raise trouble("adapter_as_base", given=str(name))
        model, report = AutoModelForSequenceClassification.from_pretrained(
            name,
            output_loading_info=True,
            id2label=dict(enumerate(labels)),
            label2id={label: number for number, label in enumerate(labels)},
            problem_type=problem,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            use_safetensors=True,
            **where,
        )
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise trouble("no_tokenizer", given=str(name))
    if tokenizer.pad_token is None:
        tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "right"
    model.config.pad_token_id = tokenizer.pad_token_id
    model.fresh_weights = frozenset(report["missing_keys"]) | {name for name, *_ in report["mismatched_keys"]}
    length, _ = reading_of(model, tokenizer, max_length, windows)
    tokenizer.model_max_length = length or USUAL_LENGTH
    if windows:
        setattr(model.config, WINDOWS, True)
    return model, tokenizer


def small_example() -> tuple[PreTrainedModel, Dataset, Collate]:
    """A fine-tuned classifier, four rows with labels and a collator: enough to try a loop on.

    >>> len(small_example()[1])
    4
    """
    data = Dataset.from_dict({"input_ids": [[2, 3]] * 4, "labels": [0, 1, 1, 1]})
    return load_classifier(check_folder("models/stars")), data, default_data_collator


def save_all(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, files: dict[str, str]) -> None:
    """Model, tokenizer and files of text, the last one last, each whole or not at all; `OSError` in one line if not.

    Of processes that were launched together, the first one writes, and the others wait until it has done so.

    >>> from tempfile import TemporaryDirectory
    >>> from ftcourse.kit import Kit
    >>> with TemporaryDirectory() as folder:
    ...     save_all(Path(folder), *start_model(Kit().model("encoder"), ["a", "b"], 42), {"new.md": "…"})
    ...     sorted(os.listdir(folder))
    ['config.json', 'model.safetensors', 'new.md', 'tokenizer.json', 'tokenizer_config.json']
    """
    if not process_number():
        write_all(folder, model, tokenizer, files)
    wait_for_all()


def write_all(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, files: dict[str, str]) -> None:
    """What `save_all` does, in the process that writes."""
    part, last = folder / PART, [*files][-1]
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        for name, text in files.items():
            (part / name).write_text(text, encoding="utf-8")
        for file in sorted(part.iterdir(), key=lambda file: file.name == last):
            sync(file)
            os.replace(file, folder / file.name)
    except (OSError, SafetensorError) as error:
        raise trouble("not_saved", OSError, folder=str(folder), reason=reason(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
