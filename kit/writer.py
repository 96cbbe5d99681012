"""The checkpoint `writer`: a small causal language model of plain short sentences in four scripts.

It is asked for little, so it learns little, often: short sentences of Tatoeba and of the course that have no rare
word, the bank's clauses, and reviews of two of them. `sample` continues fixed beginnings with fixed seeds: its card
shows all of them.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from ftcourse.engine.assets import WHOLE
from kit.data import FROM_BANK, LANGS, bank, plans
from kit.generate import Review, render
from kit.natural import natural
from kit.near import MARKS
from kit.texts import everyday, key, rows_of, simplified, traditional
from kit.training import batches, optimize, padded, seed_everything

SIZE = {"n_embd": 192, "n_layer": 6, "n_head": 6, "n_positions": 128}
TRAINING = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0, "activation_function": "gelu_pytorch_tanh"}
VOCAB_SIZE = 8_000
STEPS, BATCH_SIZE, LR = 25_000, 64, 2e-3
MAX_LENGTH = {"en": 40, "ar": 40, "zh": 14, "zh-Hant": 14}  # characters of a sentence
MIN_COUNT = {"en": 10, "ar": 3, "zh": 10, "zh-Hant": 10}  # sentences that a word stands in, or it is rare
LENGTH_MULTIPLE = 8
SORTED_AT_ONCE = 32
GENERATION = {"do_sample": True, "temperature": 0.5, "top_p": 0.9, "max_new_tokens": 40}
SEEDS = range(5)
BEGINNINGS = {
    "en": [
        "The food",
        "The waiter",
        "This film",
        "My brother",
        "We ordered",
        "I bought",
        "The room",
        "She",
        "It was",
        "I don't",
    ],
    "ar": ["الأكل", "الخدمة", "هذا الفيلم", "أخي", "طلبنا", "اشتريت", "الغرفة", "كانت", "هذا", "لا"],
    "zh": ["这家店", "服务员", "这部电影", "我妈妈", "我们点了", "我买了", "房间", "她说", "今天天气", "我不会"],
    "zh-Hant": ["這家店", "服務生", "這部電影", "我媽媽", "我們點了", "我買了", "房間", "她說", "今天天氣", "我不會"],
}


def words(text: str, lang: str) -> set[str]:
    """The words of a text; in Chinese, its characters."""
    return set(re.findall(r"[^\W\d_]" if lang.startswith("zh") else r"[^\W\d_]+(?:'[a-z]+)?", text.lower()))


def tatoeba(texts: Path) -> dict[str, list[str]]:
    """Tatoeba's sentences by language, Chinese in both scripts, Arabic without vowel marks."""
    found: dict[str, list[str]] = {lang: [] for lang in LANGS}
    for row in rows_of(texts / "pairs.tsv.xz"):
        found["en"].append(row["en"])
        if row["lang"] == "zh":
            found["zh"].append(simplified(row["text"]))
            found["zh-Hant"].append(traditional(simplified(row["text"])))
        else:
            found["ar"].append(MARKS.sub("", row["text"]))
    return found


def writer_texts(texts: Path) -> list[str]:
    """What it learns from, each text once."""
    chosen: dict[str, str] = {}
    for lang, sentences in tatoeba(texts).items():
        clauses = [render(Review((clause,), ()), lang) for clause in bank()]
        reviews = [render(plan, lang) for name in FROM_BANK for plan in plans(name)["train"] if len(plan.clauses) == 2]
        short = [*sentences, *(row["text"] for row in everyday(lang)), *(r.text for r in natural(lang, "train"))]
        if lang == "zh-Hant":
            short += [traditional(row["text"]) for row in everyday("zh")]
        counts = Counter(word for text in {*sentences, *clauses} for word in words(text, lang))
        plain = {word for word, count in counts.items() if count >= MIN_COUNT[lang]}
        short = [text for text in short if len(text) <= MAX_LENGTH[lang] and words(text, lang) <= plain]
        for text in (*short, *clauses, *reviews):
            chosen.setdefault(key(text) or text, text)
    return list(chosen.values())


def build_writer(folder: Path, texts: Path) -> None:
    """Tokenizer and model, from scratch."""
    seed_everything(0)
    lines = writer_texts(texts)
    tokenizer = GPT2Tokenizer().train_new_from_iterator(lines, VOCAB_SIZE, show_progress=False)
    end = tokenizer.eos_token_id
    ends = {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}
    config = GPT2Config(**SIZE, **TRAINING, **ends, vocab_size=len(tokenizer), dtype="float32")
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config)
    ids = [[*row[: SIZE["n_positions"] - 1], end] for row in tokenizer(lines)["input_ids"]]
    optimize(model, writer_losses(model, ids, end), STEPS, lr=LR, name="writer")
    model.generation_config.update(**GENERATION)
    model.save_pretrained(folder / "writer")
    tokenizer.save_pretrained(folder / "writer")
    weights = load_file(folder / "writer" / WHOLE)
    halves = {name: weight.half() for name, weight in weights.items()}
    save_file(halves, folder / "writer" / WHOLE, metadata={"format": "pt"})  # the configuration still says float32


def writer_losses(model, ids: list[list[int]], end: int) -> Iterator[torch.Tensor]:
    """Losses of the next token, without end; what only fills a batch up costs no logits."""
    for chosen in batches([len(row) for row in ids], BATCH_SIZE, random.Random("writer"), SORTED_AT_ONCE):
        rows = [ids[row] for row in chosen]
        inputs, labels = padded(rows, end, LENGTH_MULTIPLE), padded(rows, -100, LENGTH_MULTIPLE)
        counted = labels[:, 1:] >= 0
        with torch.autocast("cpu", torch.bfloat16):
            states = model.transformer(inputs, attention_mask=(labels >= 0).long()).last_hidden_state
            loss = cross_entropy(model.lm_head(states[:, :-1][counted]), labels[:, 1:][counted])
        yield loss


@torch.inference_mode()
def sample(folder: Path) -> dict[str, list[str]]:
    """A continuation of every beginning with every seed, by language."""
    model, tokenizer = GPT2LMHeadModel.from_pretrained(folder), GPT2Tokenizer.from_pretrained(folder)
    found: dict[str, list[str]] = {}
    for lang, beginnings in BEGINNINGS.items():
        for beginning in beginnings:
            inputs = tokenizer(beginning, return_tensors="pt")
            for seed in SEEDS:
                torch.manual_seed(seed)
                found.setdefault(lang, []).append(
                    tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True)
                )
    return found
