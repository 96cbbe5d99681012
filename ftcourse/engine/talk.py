"""A causal language model that answers: which one is here, its tokenizer with a chat template, and pairs to tune it
on."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath, PureWindowsPath

from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase

from ftcourse.engine.fetch import MODELS, fetched
from ftcourse.engine.memory import check_memory
from ftcourse.engine.messages import trouble

NEED = 2_500_000_000  # bytes, for tuning a model of 135 million parameters with LoRA in 32 bits
PLAIN = (  # for a model that was never taught to talk: who speaks, what is said, and the token for the end
    "{% for message in messages %}{{ message['role'] + ':\n' + message['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)


def talker(kit, free: int | None = None) -> str:
    """What `from_pretrained` takes for the model that answers: `chat` where it was fetched, else the kit's `writer`.

    Raises `MemoryError` where fewer bytes are free than tuning `chat` takes.

    >>> from ftcourse.kit import Kit
    >>> Path(talker(Kit())).name in ("chat", "writer")
    True
    """
    if kit.source == "kit" and not fetched("chat"):
        return kit.model("writer")
    check_memory(NEED, free)
    return kit.model("chat")


def chat_tokenizer(name_or_path: str) -> PreTrainedTokenizerBase:
    """A model's tokenizer, with a plain chat template and a token for padding where it has none of its own.

    >>> from ftcourse.kit import Kit
    >>> messages = [{"role": "user", "content": "Hello"}]
    >>> chat_tokenizer(Kit().model("writer")).apply_chat_template(messages, tokenize=False)
    'user:\\nHello<|endoftext|>\\n'
    """
    tokenizer = AutoTokenizer.from_pretrained(name_or_path)
    tokenizer.chat_template = tokenizer.chat_template or PLAIN
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    longest = AutoConfig.from_pretrained(name_or_path).max_position_embeddings
    tokenizer.model_max_length = min(tokenizer.model_max_length, longest)
    return tokenizer


def check_pairs(rows: Iterable[Mapping]) -> list[Mapping]:
    """The rows themselves, where each has a `review` and a `reply`; a `ValueError` names the first that has not.

    >>> check_pairs([{"review": "Cold soup.", "reply": " "}])
    Traceback (most recent call last):
    ValueError: row 0 has no text in 'reply' (' '); expected a review and its reply ...
    """
    rows = list(rows)
    if not rows:
        raise trouble("no_pairs")
    for number, row in enumerate(rows):
        for column in ("review", "reply"):
            text = row.get(column) if isinstance(row, Mapping) else None
            if not isinstance(text, str) or not text.strip():
                raise trouble("pair", number=number, column=column, given=text)
    return rows


def path_parts(name: str) -> tuple[str, ...]:
    """The parts of a path that may have been written on another system.

    >>> path_parts(r"C:\\kit\\writer")[1:], path_parts("/kit/writer")[1:]
    (('kit', 'writer'), ('kit', 'writer'))
    """
    return (PureWindowsPath(name) if "\\" in name else PurePath(name)).parts or ("",)


def base_name(name: str) -> str:
    """The last part of a base model's name; of one that was fetched, that which it has on the Hub.

    >>> base_name("/home/me/.cache/ftcourse/chat"), base_name("/kit/models/writer")
    ('SmolLM2-135M-Instruct', 'writer')
    """
    last = path_parts(name)[-1]
    return Path(MODELS[last].hub).name if last in MODELS else last
