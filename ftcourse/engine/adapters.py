"""LoRA: two thin matrices beside some of a model's large ones, trained in their place; put into a model, saved apart
from it in the format of PEFT, joined to it again."""

import hashlib
import json
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedModel
from transformers.utils import cached_file

from ftcourse.engine.assets import ASSETS, INDEX, WHOLE
from ftcourse.engine.checks import check_number
from ftcourse.engine.folders import reason
from ftcourse.engine.hub import in_the_room, why_offline
from ftcourse.engine.messages import in_words, trouble
from ftcourse.engine.talk import base_name, path_parts

ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
HEAD = "head.safetensors"  # stands for the head in an adapter's folder until the adapter brings it
PREFIX = "base_model.model."  # before the names of an adapter's weights, as PEFT has it
KIT_MODELS = ("ftcourse", "assets", "models")


def need_peft() -> None:
    """Make sure that PEFT is there; a `RuntimeError` says how to get it.

    >>> need_peft()
    """
    if find_spec("peft") is None:
        raise trouble("no_peft", RuntimeError)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """While it lasts, PEFT's remarks on names and layouts that were chosen for it stay unsaid.

    >>> with quiet_peft():
    ...     warnings.warn("…", stacklevel=1)
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def new_parts(model: PreTrainedModel) -> list[str]:
    """The names of the parts that belong to the task: those beside the body, and those that came without weights.

    A model that writes has none: what it writes with, it has from its pretraining.

    >>> from ftcourse.engine.models import start_model
    >>> from ftcourse.kit import Kit
    >>> new_parts(start_model(Kit().model("encoder"), ["bad", "good"], 42)[0])
    ['classifier']
    """
    if model.can_generate():
        return []
    beside = {name for name, part in model.named_children() if part is not model.base_model and [*part.parameters()]}
    fresh = {name.rpartition(".")[0] for name in getattr(model, "fresh_weights", ())}
    return sorted(beside | {name for name in fresh if name and name.partition(".")[0] not in beside})


def with_lora(model: PreTrainedModel, rank: int, last: int | None = None):
    """PEFT's view of a model, into which it has put thin matrices of a rank; only they and the head are to be trained.

    They stand where PEFT has them for models of this kind, or else beside all linear layers of the body. `last` says in
    how many of the last blocks of layers, by default in all.

    >>> from ftcourse.engine.models import start_model
    >>> from ftcourse.kit import Kit
    >>> with_lora(start_model(Kit().model("encoder"), ["bad", "good"], 42)[0], 8).get_nb_trainable_parameters()
    (49922, 16710532)
    """
    need_peft()
    check_number("rank", rank, 1, whole=True)
    from peft import LoraConfig, get_peft_model
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as USUAL

    parts = new_parts(model)
    options = {"task_type": "CAUSAL_LM"} if model.can_generate() else {"task_type": "SEQ_CLS", "modules_to_save": parts}
    if model.config.model_type not in USUAL:
        options["target_modules"] = "all-linear"
        if parts:
            options["exclude_modules"] = rf"({'|'.join(map(re.escape, parts))})(\..*)?"
    if last is not None:
        layers = model.config.num_hidden_layers
        first = max(0, layers - check_number("last", last, 1, whole=True))
        options["layers_to_transform"] = list(range(first, layers))
    with quiet_peft():
        return get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, **options))


def load_lora(model: PreTrainedModel, name: str | os.PathLike):
    """PEFT's view of a model with a saved adapter, from a folder or the Hub; trained matrices stand beside its own.

    Raises `ValueError` where there is no adapter, or one for another base model.

    >>> from transformers import AutoModelForCausalLM
    >>> from ftcourse.kit import Kit
    >>> load_lora(AutoModelForCausalLM.from_pretrained(Kit().model("writer")), "nowhere/at/all")
    Traceback (most recent call last):
    ValueError: 'nowhere/at/all' holds no adapter ...
    """
    need_peft()
    from peft import PeftConfig, PeftModel

    try:
        settings = PeftConfig.from_pretrained(str(name))
    except (OSError, ValueError, TypeError) as error:
        raise trouble("no_adapter", given=str(name), reason=reason(error)[:200]) from error
    named, here = str(settings.base_model_name_or_path), model.name_or_path
    wrong = trouble("adapter_base", given=str(name), expected=base_name(named), base=base_name(here))
    if base_name(named) != base_name(here):
        raise wrong
    try:
        with quiet_peft():
            return PeftModel.from_pretrained(model, str(name))
    except (RuntimeError, ValueError, KeyError) as error:  # the same name, and other layers
        raise wrong from error


def frozen_hash(model: PreTrainedModel, beside: list[str]) -> str:
    """What tells one base model from another: a hash of all weights but those of the parts named.

    >>> frozen_hash(torch.nn.Linear(2, 2), ["weight", "bias"])[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.named_parameters()):
        if not any(name == part or name.startswith(f"{part}.") for part in beside):
            digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def base_files(name: str) -> dict[str, str]:
    """Where each of a base model's weights lies: the path of a file, by the weight's name.

    >>> from ftcourse.kit import Kit
    >>> Path(base_files(Kit().model("encoder"))["bert.embeddings.word_embeddings.weight"]).name
    'shared.safetensors'
    """
    options = {"local_files_only": True, "_raise_exceptions_for_missing_entries": False}
    index = cached_file(name, INDEX, **options)
    if index:
        places = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"]
        found = {place: cached_file(name, place, **options) for place in set(places.values())}
        return {weight: os.path.abspath(found[place]) for weight, place in places.items()}
    whole = os.path.abspath(cached_file(name, WHOLE, local_files_only=True))
    with safe_open(whole, framework="pt") as file:
        return dict.fromkeys(file.keys(), whole)


def places_of_base(name: str) -> dict[str, str]:
    """As `base_files`; a `ValueError` for a base model whose weights are safetensors only in what the Hub converts.

    >>> places_of_base("nowhere")
    Traceback (most recent call last):
    ValueError: the base model 'nowhere' has no safetensors of its own, ...
    """
    try:
        return base_files(name)
    except OSError as error:
        raise trouble("base_no_safetensors", given=name) from error


class Adapter:
    """What LoRA adds to a model, from before the training to the saved folder, where it is to be saved `alone`.

    >>> from ftcourse.engine.models import start_model
    >>> from ftcourse.kit import Kit
    >>> adapter = Adapter(start_model(Kit().model("encoder"), ["bad", "good"], 42)[0], rank=1)
    >>> adapter.join()
    >>> adapter.trained
    6914
    """

    def __init__(self, model: PreTrainedModel, rank: int, alone: bool = True):
        self.model, self.parts = model, new_parts(model)
        self.places = places_of_base(model.name_or_path) if alone else {}  # before the training, lest it be in vain
        self.base, self.base_hash = model.name_or_path, frozen_hash(model, self.parts)
        self.peft = with_lora(model, rank)
        self.trained, self.all = self.peft.get_nb_trainable_parameters()
        self.weights: dict[str, torch.Tensor] = {}

    def join(self) -> None:
        """Adds the thin matrices to the large ones: the model is an ordinary one again. They are kept for `save`."""
        from peft import get_peft_model_state_dict

        found = get_peft_model_state_dict(self.peft, save_embedding_layers=False)
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in found.items()}
        with quiet_peft():
            self.peft.merge_and_unload()

    def save(self, folder: Path) -> None:
        """Writes the adapter in PEFT's format, and what lets the library load folder and base model as one.

        An index says where the base's weights lie. For the head it names weights that are no numbers: without PEFT,
        which brings the trained ones, no answer looks like one.
        """
        state = self.model.state_dict()
        now = {name: state.get(name.removeprefix(PREFIX), tensor) for name, tensor in self.weights.items()}
        now = {name: tensor.detach().cpu().contiguous() for name, tensor in now.items()}
        save_file(now, folder / ADAPTER, metadata={"format": "pt"})
        settings = self.peft.peft_config["default"]
        settings.inference_mode = True
        settings.base_model_name_or_path = os.path.abspath(self.base) if os.path.isdir(self.base) else self.base
        settings.save_pretrained(str(folder))
        self.model.config.save_pretrained(folder)
        head = {name.removeprefix(PREFIX): tensor for name, tensor in now.items() if ".lora_" not in name}
        empty = {name: torch.full_like(tensor, float("nan")) for name, tensor in head.items()}
        save_file(empty, folder / HEAD, metadata={"format": "pt", "base": self.base_hash})
        places = self.places | dict.fromkeys(head, HEAD)
        index = {"metadata": {"total_size": sum(tensor.nbytes for tensor in state.values())}, "weight_map": places}
        (folder / INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def adapter_files(name: str | os.PathLike, offline: bool) -> dict[str, Path] | None:
    """The files of an adapter, in a folder or on the Hub; None for a model that is whole. `ValueError` without weights.

    >>> from ftcourse.kit import Kit
    >>> adapter_files(Kit().model("encoder"), offline=True)
    """
    options = {"local_files_only": offline, "_raise_exceptions_for_missing_entries": False}
    options |= {"_raise_exceptions_for_gated_repo": False, "_raise_exceptions_for_connection_errors": False}
    try:
        there = cached_file(str(name), ADAPTER_CONFIG, **options)
    except (OSError, ValueError):  # no such place: whoever loads the model says so
        there = None
    if not there:
        return None
    found = {file: cached_file(str(name), file, **options) for file in (ADAPTER_CONFIG, ADAPTER, "config.json", HEAD)}
    if not found[ADAPTER]:
        raise trouble("no_adapter_weights", given=str(name), file=ADAPTER)
    return {file: Path(path) for file, path in found.items() if path}


def base_of(name: str) -> str:
    """The base model that an adapter names; a folder of the kit that lies elsewhere here, where it is here.

    >>> Path(base_of("/there/ftcourse/assets/models/encoder")).is_dir()
    True
    """
    parts = path_parts(name)
    ours = ASSETS / "models" / parts[-1]
    return str(ours) if not os.path.isdir(name) and parts[-4:-1] == KIT_MODELS and ours.is_dir() else name


def why_not_fetched(base: str) -> str:
    """Why an adapter's base model is looked for on this machine only; empty for a folder, and where a Hub was chosen.

    >>> why_not_fetched(os.curdir)
    ''
    """
    if Path(base).is_dir():
        return ""
    chosen = os.environ.get("FTCOURSE_SOURCE") == "hub" or os.environ.get("HF_HUB_OFFLINE") == "0"
    if chosen or in_the_room(os.environ.get("HF_ENDPOINT", "")):
        return why_offline(base)
    return in_words("hub_off_by_kit")


def load_adapter(name: str | os.PathLike, files: dict[str, Path]) -> PreTrainedModel:
    """The base model of an adapter, joined with it: an ordinary classifier.

    Raises `RuntimeError` without PEFT, `ValueError` where the base model is not where it was, or is another one, for an
    adapter of another kind than LoRA, or for another task, and where nobody trained the head. Opens safetensors only,
    and runs no code that comes with a model.
    """
    need_peft()
    from peft import PeftModel

    try:
        settings = json.loads(files[ADAPTER_CONFIG].read_text(encoding="utf-8"))
        named, kind = str(settings["base_model_name_or_path"]), settings["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise trouble("broken_adapter", given=str(name), reason=reason(error)) from error
    if kind != "LORA" or settings.get("megatron_config"):
        raise trouble("other_adapter", given=str(name), kind=kind)
    if settings.get("task_type") not in ("SEQ_CLS", None):
        raise trouble("adapter_task", given=str(name), kind=settings["task_type"])
    brought = shapes_in(name, files[ADAPTER])
    base = base_of(named)
    offline = why_not_fetched(base)
    options = {"use_safetensors": True, "trust_remote_code": False, "local_files_only": bool(offline)}
    try:
        if own := files.get("config.json"):
            options["config"] = AutoConfig.from_pretrained(own.parent, trust_remote_code=False, local_files_only=True)
        model, missing = load_base(base, brought, options)
    except (OSError, ValueError, SafetensorError) as error:
        why = f"{offline} {reason(error)[:300]}".strip()
        raise trouble("no_base", given=str(name), base=named, reason=why) from error
    check_base(model, name, named, files, settings)
    if missing:
        raise trouble("untrained", given=str(name), missing=", ".join(sorted(missing)))
    try:
        with quiet_peft():
            joined = PeftModel.from_pretrained(model, str(files[ADAPTER].parent), local_files_only=True)
            return joined.merge_and_unload()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError) as error:
        raise trouble("broken_adapter", given=str(name), reason=reason(error)[:300]) from error


def shapes_in(name: str | os.PathLike, file: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights that an adapter brings beside its thin matrices, by their names in the base model."""
    try:
        with safe_open(file, framework="pt") as weights:
            named = [one for one in weights.keys() if ".lora_" not in one]  # noqa: SIM118
            return {one.removeprefix(PREFIX): tuple(weights.get_slice(one).get_shape()) for one in named}
    except (OSError, SafetensorError) as error:
        raise trouble("broken_adapter", given=str(name), reason=reason(error)[:300]) from error


def load_base(base: str, brought: dict[str, tuple[int, ...]], options: dict) -> tuple[PreTrainedModel, set[str]]:
    """A base model as a classifier, and the names of weights that neither it nor its adapter brings.

    Without a configuration among the `options`, there are as many labels as the head `brought` has.

    >>> from ftcourse.kit import Kit
    >>> head = {"classifier.weight": (5, 384), "classifier.bias": (5,)}
    >>> model, missing = load_base(Kit().model("encoder"), head, {"use_safetensors": True})
    >>> model.config.num_labels, missing
    (5, set())
    """
    options = {"dtype": torch.float32, "ignore_mismatched_sizes": True, "output_loading_info": True} | options
    model, report = AutoModelForSequenceClassification.from_pretrained(base, **options)
    if "config" not in options:
        shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
        other = {shape[0] for name, shape in brought.items() if shapes.get(name, shape) != shape}
        if len(other) == 1:
            del model  # which may be large
            model, report = AutoModelForSequenceClassification.from_pretrained(base, num_labels=other.pop(), **options)
    lacking = {*report["missing_keys"]} | {name for name, *_ in report["mismatched_keys"]}
    return model, lacking - {*brought}


def check_base(model: PreTrainedModel, name: str | os.PathLike, base: str, files: dict, settings: dict) -> None:
    """Make sure that a base model is the one an adapter was trained on, where the adapter says; or a `ValueError`."""
    if HEAD not in files:
        return
    with safe_open(files[HEAD], framework="pt") as file:
        expected = file.metadata().get("base")
    beside = sorted({part for part in settings.get("modules_to_save") or () if isinstance(part, str)})
    if expected and frozen_hash(model, beside) != expected:
        raise trouble("other_base", given=str(name), base=base)
