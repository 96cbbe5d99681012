"""Models and their tokenizers: loaded safely, started with a new head, saved whole."""

import os
import shutil
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
from ftcourse.engine.assets import check_folder, missing_shards
from ftcourse.engine.batches import Collate
from ftcourse.engine.folders import reason, sync
from ftcourse.engine.hub import why_offline
from ftcourse.engine.messages import trouble


def load_classifier(folder: str | os.PathLike) -> PreTrainedModel:
    """A fine-tuned classifier from a folder or a name on the Hub, on the GPU where there is one.

    Raises `ValueError` where there are no safetensors weights, or none for the classification head.

    >>> from ftcourse.kit import Kit
    >>> load_classifier(Kit("en").model("stars")).config.num_labels
    5
    """
    offline = why_offline(folder)
    options = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": bool(offline)}
    if adapter := adapter_files(folder, bool(offline)):
        return on_device(load_adapter(folder, adapter))
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True, **options)
    except (OSError, ValueError, SafetensorError) as error:
        why = missing_shards(folder) or f"{offline} {error}".strip()
        raise trouble("no_classifier", given=str(folder), reason=why) from error
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
    options = {"trust_remote_code": False, "local_files_only": bool(why_offline(folder))}
    try:
        return AutoTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise trouble("broken_tokenizer", given=str(folder), reason=error) from error


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
    if tokenizer is None or len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise trouble("tokenizer_missing")
    if tokenizer.pad_token_id is None:
        raise trouble("no_padding")
    num_labels, problem = model.config.num_labels, model.config.problem_type
    if (num_labels == 1) != (problem == "regression"):
        raise trouble("not_one_label", num_labels=num_labels, problem=problem)
    return model, tokenizer


def max_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The most tokens that a text may have, special tokens included; None where there is no limit.

    >>> from ftcourse.kit import Kit
    >>> folder = Kit("en").model("stars")
    >>> max_tokens(AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder))
    512
    """
    positions = getattr(model.config, "max_position_embeddings", None) or 0
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            positions = module.num_embeddings - module.padding_idx - 1
    limits = [limit for limit in (positions, tokenizer.model_max_length) if 0 < limit < 1_000_000]
    return min(limits, default=None)


def start_model(
    name: str, labels: list[str], seed: int, problem: str = "single_label_classification"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A pretrained model with a new head for the labels, and its tokenizer, for texts of up to 512 tokens.

    `problem` is the library's `problem_type`: it decides on the loss, and on what the logits mean. Raises `ValueError`,
    in one line, where there is no model under this name.

    >>> from ftcourse.kit import Kit
    >>> start_model(Kit().model("encoder"), ["bad", "good"], 42)[0].config.id2label
    {0: 'bad', 1: 'good'}
    """
    set_seed(seed)
    offline = why_offline(name)
    where = {"trust_remote_code": False, "local_files_only": bool(offline)}
    try:
        if adapter_files(name, bool(offline)):
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
    except (OSError, ValueError, SafetensorError) as error:
        why = f"{offline} {reason(error)[:300]}".strip()
        raise trouble("no_model", given=str(name), reason=why) from error
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise trouble("no_tokenizer", given=str(name))
    if tokenizer.pad_token is None:
        tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "right"
    model.config.pad_token_id = tokenizer.pad_token_id
    model.fresh_weights = frozenset(report["missing_keys"]) | {name for name, *_ in report["mismatched_keys"]}
    tokenizer.model_max_length = min(max_tokens(model, tokenizer) or 512, 512)
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

    >>> from tempfile import TemporaryDirectory
    >>> from ftcourse.kit import Kit
    >>> with TemporaryDirectory() as folder:
    ...     save_all(Path(folder), *start_model(Kit().model("encoder"), ["a", "b"], 42), {"new.md": "…"})
    ...     sorted(os.listdir(folder))
    ['config.json', 'model.safetensors', 'new.md', 'tokenizer.json', 'tokenizer_config.json']
    """
    part, last = folder / ".part", [*files][-1]
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
