"""A causal language model as llama.cpp stores it (GGUF), written anew as transformers reads it."""

import tempfile
from pathlib import Path

from ftcourse.engine.memory import check_memory
from ftcourse.engine.messages import trouble

FILE = "model.gguf"
NEED = 2_000_000_000  # bytes, for a model of 135 million parameters


def write_causal_model(data: bytes, folder: Path) -> None:
    """Write a folder that `from_pretrained` reads, in half precision, from the bytes of a GGUF file.

    Needs the package `gguf`. Raises `ValueError` for other bytes, `MemoryError` where the machine is too small.

    >>> write_causal_model(b"PK", Path("model"))
    Traceback (most recent call last):
    ValueError: not a model in the GGUF format, or not all of it: ...
    """
    if data[:4] != b"GGUF":
        raise trouble("gguf_damaged", reason=data[:4])
    check_memory(NEED)
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with tempfile.TemporaryDirectory() as place:
        (Path(place) / FILE).write_bytes(data)
        try:
            tokenizer = AutoTokenizer.from_pretrained(place, gguf_file=FILE)
            read = AutoModelForCausalLM.from_pretrained(place, gguf_file=FILE, dtype=torch.float32)
        except (ValueError, KeyError, IndexError, OSError) as error:
            raise trouble("gguf_damaged", reason=error) from error
    settings = read.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path"):  # of the file, not of the model
        settings.pop(name, None)
    config = type(read.config)(**settings)
    model = type(read)(config)
    model.load_state_dict(read.state_dict())
    model.half().save_pretrained(folder)
    config.dtype = torch.float32
    config.architectures = [type(read).__name__]
    config.save_pretrained(folder)
    tokenizer.model_max_length = config.max_position_embeddings
    tokenizer.save_pretrained(folder)
