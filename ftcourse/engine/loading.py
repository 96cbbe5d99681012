"""What is wrong where a model or its tokenizer cannot be loaded, in the reader's words."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING

from ftcourse.engine.assets import INDEX, WHOLE, missing_shards
from ftcourse.engine.folders import reason
from ftcourse.engine.hub import not_waiting, why_offline
from ftcourse.engine.launch import MARK
from ftcourse.engine.messages import in_words, trouble

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
LOADING = (OSError, ValueError, SafetensorError, RuntimeError, KeyError, TypeError, AttributeError, IndexError)
LOADING += (ImportError, StrictDataclassError)  # a library not here; a value of the wrong type in a configuration
TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def is_path(name: str) -> bool:
    """Whether a name is a path, rather than one on the Hub.

    >>> is_path("./model"), is_path("google-bert/bert-base-cased")
    (True, False)
    """
    return Path(name).exists() or Path(name).is_absolute() or name.startswith((".", "~")) or name.count("/") > 1


def json_object(file: Path) -> dict | None:
    """What is in a JSON file; None where it holds no JSON object, or is not there.

    >>> json_object(Path("nowhere.json"))
    """
    with suppress(OSError, ValueError):
        found = json.loads(file.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else None
    return None


def wrong_config(folder: Path) -> str:
    """What is wrong with the configuration in a model's folder; empty where nothing is.

    >>> from ftcourse.kit import Kit
    >>> wrong_config(Path(Kit().model("stars")))
    ''
    """
    if not any(folder.iterdir()):
        return in_words("model_empty")
    if not (folder / "config.json").is_file():
        inside = sorted(folder.glob("checkpoint-*/config.json"), key=lambda file: file.stat().st_mtime)
        if inside:
            return in_words("model_inside", name=str(inside[-1].parent))
        return in_words("model_stopped") if (folder / MARK).is_file() else in_words("model_part", name="config.json")
    config = json_object(folder / "config.json")
    if config is None:
        return in_words("model_json", name="config.json")
    if "auto_map" in config:
        return in_words("model_code")
    kind = config.get("model_type")
    if kind is None:
        return in_words("model_no_type")
    return "" if kind in CONFIG_MAPPING else in_words("model_type", given=kind)


def wrong_weights(folder: Path) -> str:
    """What is wrong with the weights in a model's folder; empty where nothing is.

    >>> from ftcourse.kit import Kit
    >>> wrong_weights(Path(Kit().model("writer")))
    ''
    """
    files = sorted(folder.glob("*.safetensors"))
    pickles = sorted(path.name for kind in PICKLES for path in folder.glob(kind))
    if not files and not (folder / INDEX).is_file():
        return in_words("model_pickle", name=pickles[0]) if pickles else in_words("model_part", name=WHOLE)
    for file in files:
        try:
            with safe_open(file, framework="pt"):
                pass
        except (OSError, SafetensorError):
            return in_words("model_damaged", name=file.name)
    return missing_shards(folder)


def wrong_tokenizer(folder: Path) -> str:
    """What is wrong with the files of a tokenizer in a folder; empty where nothing is.

    >>> from ftcourse.kit import Kit
    >>> wrong_tokenizer(Path(Kit().model("stars")))
    ''
    """
    broken = [name for name in TOKENIZERS if (folder / name).is_file() and json_object(folder / name) is None]
    return in_words("model_json", name=broken[0]) if broken else ""


def what_is_wrong(name: object, error: Exception) -> str:
    """Why nothing could be loaded from a folder, or under a name; the library's own words where nothing else is known.

    >>> what_is_wrong("./nowhere", OSError("Repo id must be in the form ..."))
    'there is no such folder; check the path, and the folder you are working in'
    """
    if not isinstance(name, str | Path):
        return in_words("model_name", type=type(name).__name__)
    folder = Path(name)
    if not str(name) or (is_path(str(name)) and not folder.exists()):
        return in_words("model_nowhere")
    if folder.is_file():
        return in_words("model_file")
    if "tiktoken" in str(error) and not find_spec("sentencepiece"):  # which the library tries in its place
        return in_words("model_needs", names="sentencepiece protobuf")
    if not folder.is_dir():
        unknown = "is not a valid model identifier" in str(error)
        said = in_words("model_unknown") if unknown else in_words("model_reason", reason=reason(error)[:300])
        offline = why_offline(name)
        return f"{offline} {in_words('model_no_folder')}" if offline else said
    found = wrong_config(folder) or wrong_weights(folder) or wrong_tokenizer(folder)
    if not found and "ignore_mismatched_sizes" in str(error):
        found = in_words("model_shapes")
    return found or in_words("model_reason", reason=reason(error)[:300])


@contextmanager
def loading(name: object, key: str = "no_model") -> Iterator[None]:
    """Answers what goes wrong while a model is loaded with one line, a `ValueError`: the message `key`, and why.

    >>> with loading("./nowhere"):
    ...     raise OSError("Repo id must be in the form ...")
    Traceback (most recent call last):
    ValueError: no model could be loaded from './nowhere': there is no such folder; check the path, and ...
    """
    try:
        with not_waiting() if isinstance(name, str) and not is_path(name) else nullcontext():
            yield
    except torch.OutOfMemoryError:
        raise
    except LOADING as error:
        given = str(name) if isinstance(name, str | Path) else name
        raise trouble(key, given=given, reason=what_is_wrong(name, error)) from error
    except Exception as error:  # the Rust part of a tokenizer raises nothing more special
        if type(error) is not Exception:
            raise
        raise trouble(key, given=str(name), reason=what_is_wrong(name, error)) from error
