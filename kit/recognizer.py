"""The checkpoint `speech`: a small network that writes down what a synthetic voice says, in three languages.

A conformer (`Wav2Vec2BertForCTC`) over log-mel features, 25 a second, whose outputs are letters. It is trained from
scratch on phrases of `kit/speech/` and on their words in any order, said by the training voices.
"""

import io
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile
import torch
from datasets import Audio, load_dataset
from safetensors.torch import load_file, save_file
from transformers import (
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForCTC,
    Wav2Vec2BertProcessor,
    Wav2Vec2CTCTokenizer,
)

from ftcourse.engine.assets import WHOLE
from ftcourse.engine.audio import read_audio
from ftcourse.kit import Kit
from ftcourse.sound import word_error_rate
from kit import speech
from kit.data import ASSETS
from kit.teacher import CACHE
from kit.training import batches, optimize, padded, reached, seed_everything

CLIPS = 8_000  # of each language to train on
MEDLEYS = 0.6  # of them, words in any order
CODED = 0.5  # of them, through the codec of the data set
STRIDE, MEL_BINS = 4, 80
FOLDER, MODELS = CACHE / "speech", ASSETS / "models"
HEARD = ("en", "ar", "zh")  # Mandarin written in Traditional letters is heard in the same way
SIZE = {"hidden_size": 160, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 320}
REACH = {"conv_depthwise_kernel_size": 11, "left_max_position_embeddings": 32, "right_max_position_embeddings": 16}
MASKS = {"mask_time_prob": 0.12, "mask_time_length": 3, "mask_feature_prob": 0.1, "mask_feature_length": 8}
DROPOUT = {"layerdrop": 0.0, "final_dropout": 0.1, "conformer_conv_dropout": 0.0}
BATCH_SIZE = 16
ENGLISH_STEPS, SHORT_STEPS, SHORT = 500, 700, 40  # at first, only clips of so many frames: 1.6 seconds
WARP, STRIPE = 0.3, 16  # how far mel bands are stretched, as a logarithm; how many of them are hidden at most
LENGTH_MULTIPLE = 8
SPECIAL = ["<pad>", "<unk>", "|"]  # the blank of CTC, what is no letter, and the end of a word
ENGLISH, ARABIC = "abcdefghijklmnopqrstuvwxyz", "ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي"


@dataclass(frozen=True)
class Round:
    """A part of the training: its steps, its highest learning rate, and how often it goes through each language."""

    steps: int
    lr: float
    times: dict[str, int]


# In no other language are letters so far from sounds as in English; Chinese letters are learnt first.
ROUNDS = (
    Round(12_000, 1e-3, {"en": 2, "ar": 1, "zh": 1}),
    Round(10_000, 6e-4, {"en": 3, "ar": 2, "zh": 1}),
    Round(3_500, 4e-4, {"en": 3, "ar": 1, "zh": 1}),
)


def extractor() -> SeamlessM4TFeatureExtractor:
    """Log-mel features, four frames of 10 ms together."""
    return SeamlessM4TFeatureExtractor(num_mel_bins=MEL_BINS, feature_size=MEL_BINS, stride=STRIDE)


def make_corpus(lang: str) -> Path:
    """Features and texts of the clips that a language is trained on, in a file that is made once."""
    path = FOLDER / f"{lang}.npz"
    if path.is_file():
        return path
    rng, extract, started = random.Random(f"recognizer {lang}"), extractor(), time.monotonic()
    found, texts = [], []
    for number in range(CLIPS):
        if rng.random() < MEDLEYS:
            text, spoken = speech.medley(lang, rng)
        else:
            phrase = speech.said(rng.choice(speech.LABELS), rng)
            text, spoken = phrase.text(lang), " ".join(phrase.words[speech.SPOKEN[lang]])
        waveform, _ = speech.clip(spoken, lang, "train", rng)
        if rng.random() < CODED:
            waveform, _ = soundfile.read(io.BytesIO(speech.compressed(waveform)), dtype="float32")
        found.append(extract(waveform, sampling_rate=speech.RATE)["input_features"][0].astype(np.float16))
        texts.append(text)
        if number % 500 == 499:
            print(f"{lang}: {number + 1} of {CLIPS} clips, {time.monotonic() - started:.0f} s", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez(part, features=np.concatenate(found), lengths=[len(f) for f in found], texts=texts)
    part.rename(path)
    return path


def letters() -> dict[str, list[str]]:
    """What each output means, by language: the same everywhere, but for Chinese letters in two scripts."""
    pairs = {
        pair
        for table in ("phrases", "new")
        for phrase in speech.phrases(table)
        for pair in zip(phrase.text("zh"), phrase.text("zh-Hant"), strict=True)
    }
    simplified, traditional = zip(*sorted(pairs), strict=True)
    if len(set(simplified)) < len(pairs):
        raise ValueError("a letter has two Traditional forms: a network cannot tell by ear which one is meant")
    common = [*SPECIAL, *ENGLISH, *ARABIC]
    return {lang: [*common, *(traditional if lang == "zh-Hant" else simplified)] for lang in speech.LANGS}


def build_tokenizer(folder: Path) -> Wav2Vec2CTCTokenizer:
    """The tokenizer: its vocabulary is nested by language, as that of `facebook/mms-1b-all` is."""
    folder.mkdir(parents=True, exist_ok=True)
    nested = {lang: {letter: i for i, letter in enumerate(known)} for lang, known in letters().items()}
    path = folder / "vocab.json"
    path.write_text(json.dumps(nested), encoding="utf-8")
    return Wav2Vec2CTCTokenizer(path, bos_token=None, eos_token=None, target_lang="en")


def build_model(vocab_size: int) -> Wav2Vec2BertForCTC:
    """The network, with random weights."""
    config = Wav2Vec2BertConfig(
        **SIZE,
        **REACH,
        **MASKS,
        **DROPOUT,
        vocab_size=vocab_size,
        feature_projection_input_dim=STRIDE * MEL_BINS,
        mask_time_min_masks=0,
        ctc_loss_reduction="mean",
        ctc_zero_infinity=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
        classifier_proj_size=SIZE["hidden_size"],
        dtype="float32",
    )
    return Wav2Vec2BertForCTC(config)


def corpus(tokenizer: Wav2Vec2CTCTokenizer) -> tuple[list[np.ndarray], list[list[int]]]:
    """Features and letters of all clips."""
    features, labels = [], []
    for lang in HEARD:
        with np.load(make_corpus(lang)) as file:
            features += np.split(file["features"], np.cumsum(file["lengths"])[:-1])
            labels += tokenizer(file["texts"].tolist())["input_ids"]
    return features, labels


def order(lengths: list[int], number: int) -> Iterator[list[int]]:
    """Shuffled batches of a round's clips, without end; in the first one short English ones, then short ones, then all.

    On a word or two the letters are found sooner, and sooner in one language than in three.
    """
    rng = random.Random("recognizer" if number == 0 else f"recognizer {number + 1}")
    if number == 0:
        english = [row for row, length in enumerate(lengths[:CLIPS]) if length <= SHORT]
        short = [row for row, length in enumerate(lengths) if length <= SHORT]
        for rows, steps in ((english, ENGLISH_STEPS), (short, SHORT_STEPS)):
            for chosen in islice(batches([lengths[row] for row in rows], BATCH_SIZE, rng), steps):
                yield [rows[place] for place in chosen]
    rows = []
    for place, lang in enumerate(HEARD):
        rows += [*range(place * CLIPS, (place + 1) * CLIPS)] * ROUNDS[number].times[lang]
    for chosen in batches([lengths[row] for row in rows], BATCH_SIZE, rng, at_once=16):
        yield [rows[place] for place in chosen]


def augmented(features: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The clip as another throat would say it: its mel bands stretched or squeezed, and a stripe of them hidden."""
    bands = features.reshape(len(features), STRIDE, MEL_BINS).astype(np.float32)
    places = np.clip(np.arange(MEL_BINS) * np.exp(random.uniform(-WARP, WARP)), 0, MEL_BINS - 1)
    below = np.minimum(places.astype(int), MEL_BINS - 2)
    share = (places - below).astype(np.float32)
    bands = bands[..., below] * (1 - share) + bands[..., below + 1] * share
    width = random.integers(STRIPE)
    start = random.integers(MEL_BINS - width)
    bands[..., start : start + width] = 0
    return bands.reshape(features.shape)


def losses(
    model: Wav2Vec2BertForCTC, features: list[np.ndarray], labels: list[list[int]], number: int, start: int
) -> Iterator[torch.Tensor]:
    """Losses of a round without end, from a step on."""
    lengths, random = [len(rows) for rows in features], np.random.default_rng([number, start])
    for step, chosen in enumerate(islice(order(lengths, number), start, None), start):
        harder = model.config.apply_spec_augment = number > 0 or step >= ENGLISH_STEPS + SHORT_STEPS
        longest = -(-max(lengths[row] for row in chosen) // LENGTH_MULTIPLE) * LENGTH_MULTIPLE
        inputs, mask = np.zeros((len(chosen), longest, STRIDE * MEL_BINS), np.float32), []
        for place, row in enumerate(chosen):
            inputs[place, : lengths[row]] = augmented(features[row], random) if harder else features[row]
            mask.append([1] * lengths[row])
        with torch.autocast("cpu", torch.bfloat16):
            yield model(
                input_features=torch.from_numpy(inputs),
                attention_mask=padded(mask, 0, LENGTH_MULTIPLE),
                labels=padded([labels[row] for row in chosen], -100),
            ).loss


def build_speech(folder: Path, texts: Path) -> None:
    """Feature extractor, tokenizer and network, from scratch; public texts are not needed. Goes on where it stopped."""
    tokenizer = build_tokenizer(folder / "speech")
    features, labels = corpus(tokenizer)
    seed_everything(0)
    np.random.seed(0)  # of the masks
    model = build_model(len(tokenizer))
    for number, part in enumerate(ROUNDS):
        state = FOLDER / f"state-{number}.safetensors"
        parts = losses(model, features, labels, number, reached(state))
        optimize(model, parts, part.steps, lr=part.lr, name=f"speech {number + 1}", place=state)
    model.save_pretrained(folder / "speech")
    Wav2Vec2BertProcessor(extractor(), tokenizer).save_pretrained(folder / "speech")
    weights = load_file(folder / "speech" / WHOLE)
    halves = {name: weight.half() for name, weight in weights.items()}
    save_file(halves, folder / "speech" / WHOLE, metadata={"format": "pt"})  # the configuration still says float32


def error_rate(said: Sequence[str], heard: Sequence[str], lang: str) -> float:
    """Errors a word that was said, over all texts; in Chinese, which has no blanks, a letter.

    >>> error_rate(["one two"], ["one"], "en"), error_rate(["开门"], ["关门"], "zh")
    (0.5, 0.5)
    """
    return word_error_rate(said, heard, list if lang.startswith("zh") else str.split)


def spoken(split: str, lang: str) -> Iterator[tuple[np.ndarray, str]]:
    """Waveforms and texts of a split as it ships."""
    dataset = load_dataset(*Kit(lang).dataset("speech"), split=split).cast_column("audio", Audio(decode=False))
    for row in dataset:
        yield read_audio(row["audio"]["bytes"]), row["text"]


@torch.inference_mode()
def measure(split: str = "test", folder: Path = MODELS / "speech") -> dict[str, float]:
    """The error rate of the checkpoint as it ships, by language, on a split as it ships."""
    model, processor = Wav2Vec2BertForCTC.from_pretrained(folder), Wav2Vec2BertProcessor.from_pretrained(folder)
    found = {}
    for lang in speech.LANGS:
        processor.tokenizer.set_target_lang(lang)
        waveforms, texts = zip(*spoken(split, lang), strict=True)
        heard = []
        for waveform in waveforms:
            inputs = processor(waveform, sampling_rate=speech.RATE, return_tensors="pt")
            heard += processor.batch_decode(model(**inputs).logits.argmax(-1))
        found[lang] = error_rate(texts, heard, lang)
    return found
