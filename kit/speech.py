"""The data set `speech`: numbers and short commands that `espeak-ng`, a speech synthesizer, says in many voices.

`python -m kit.speech` rebuilds it in `ftcourse/assets/data`; the same version of `espeak-ng` gives the same bytes. What
is said stands in `kit/speech/`: `phrases.tsv`, and `new.tsv` with a word that nothing else has. Words stand between
blanks, in Chinese too; the column `spoken` has the Arabic with vowels, and with doubled letters for the shadda, after
which `espeak-ng` drops the vowel.
"""

import io
import random
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
from datasets import Audio, ClassLabel, Dataset, Features, Value, disable_progress_bars
from scipy.signal import fftconvolve, resample_poly

from ftcourse.kit import LANGS
from kit.data import ASSETS, config_lines
from kit.tables import read_whole_table

FOLDER = Path(__file__).parent / "speech"
RATE = 16_000
COLUMNS = ["label", "en", "ar", "spoken", "zh", "zh-Hant"]
SPOKEN = {"en": "en", "ar": "spoken", "zh": "zh", "zh-Hant": "zh"}  # Mandarin is said once, and written twice
ACCENTS = {
    "en": ["en-us", "en-us", "en-gb", "en-gb-x-rp", "en-gb-scotland", "en-us-nyc"],
    "ar": ["ar"],
    "zh": ["cmn-latn-pinyin"],  # the voice `cmn` of espeak-ng 1.51 reads its own pinyin as English
}
ACCENTS["zh-Hant"] = ACCENTS["zh"]
# Voices by split: no voice, and none of its relatives, is in two of them. What only whispers or clanks is in none.
NAMES = {
    "train": """Alex Annie Andy AnxiousAndy Denis Diogo Gene Gene2 Henrique Jacky Mario Michael Mike Nguyen RicishayMax
        RicishayMax2 RicishayMax3 Storm adam antonio aunty benjamin boris caleb croak ed edward edward2 f1 f2 f3
        grandma grandpa gustave iven iven2 iven3 iven4 klatt klatt2 klatt3 klatt4 m1 m2 m4 m5 m7 marcelo max michel
        miguel norbert pablo pedro quincy robert sandro shelby steph steph2 steph3 travis victor""",
    "validation": "Alicia f4 john m8",
    "test": "Andrea Hugo Lee Marco anika belinda david f5 linda m3 m6 paul zac",
}
VOICES = {split: names.split() for split, names in NAMES.items()}
VOICES |= {"new": VOICES["train"], "new_test": VOICES["test"]}
LABELS = ["number", "on", "off", "open", "close", "start", "stop", "left", "right", "up", "down", "yes", "no"]
PER_LABEL = {"train": 6, "validation": 2, "test": 4}
SIZES = {**{split: number * len(LABELS) for split, number in PER_LABEL.items()}, "new": 12, "new_test": 8}
MAX_NUMBERS = 4
SPEEDS, PITCHES = (120, 190), (20, 80)  # words a minute; of 0 to 99
AUDIO = {
    "bytes": Value("binary"),
    "path": Value("string"),
}  # `Audio` would want torchcodec
FEATURES = Features(
    {"audio": AUDIO, "text": Value("string"), "label": ClassLabel(names=LABELS), "voice": Value("string")}
)
NOISE = {"train": (5, 40), "validation": (12, 40), "test": (12, 40), "new": (12, 40), "new_test": (12, 40)}  # dB

CARD = """---
language: [en, ar, zh]
license: apache-2.0
task_categories: [automatic-speech-recognition, audio-classification]
pretty_name: ftcourse speech
configs:
{configs}
---
# speech

Numbers and short commands, one to five words long, said by machines. Stands in for `PolyAI/minds14`.

No person's voice is in it: `espeak-ng` 1.51, a speech synthesizer, says everything, in many of its voices, at several
speeds and pitches; noise, echo and silence were added by seeded rules (`kit/speech.py`). `espeak-ng` is free software
under GPL-3.0-or-later; that licence does not cover the sound that it makes, and nothing of the program is in here. Its
Arabic and Mandarin voices are poor. How speech recognition works can be learnt from it; its figures say nothing about
people.

Columns: `audio` (MP3, 16 kHz, one channel), `text`, `label` ({labels}) and `voice`, the synthesizer's name for it. The
voices of `validation` and of `test` occur in no training split. `new` and `new_test` have a word that no other split
has, curtain, in training and in test voices.

Rows: {rows}. Languages: `en`, `ar`, `zh` and `zh-Hant`; the last two are the same sound, written in two scripts.

```python
from datasets import Audio, load_dataset
from ftcourse.kit import Kit

speech = load_dataset(*Kit("ar").dataset("speech")).cast_column("audio", Audio(decode=False))
```
"""


class NoSynthesizer(OSError):
    """`espeak-ng` is not on this machine."""


@dataclass(frozen=True)
class Phrase:
    """What is said: its label, and its words in every column of the table."""

    label: str
    words: dict[str, tuple[str, ...]]

    def text(self, lang: str) -> str:
        """As it is written: Chinese without blanks."""
        return ("" if lang.startswith("zh") else " ").join(self.words[lang])

    def __add__(self, other: "Phrase") -> "Phrase":
        return Phrase(self.label, {column: words + other.words[column] for column, words in self.words.items()})


@cache
def phrases(file: str = "phrases") -> tuple[Phrase, ...]:
    """The lines of a table.

    >>> phrases()[0].text("zh"), phrases("new")[0].label
    ('打开电灯', 'open')
    """
    lines = read_whole_table(FOLDER / f"{file}.tsv", COLUMNS)
    found = []
    for where, (label, *fields) in lines:
        words = {column: tuple(field.split()) for column, field in zip(COLUMNS[1:], fields, strict=True)}
        if label not in LABELS:
            raise ValueError(f"{where}: unknown label {label!r}, expected one of {LABELS}")
        if len(words["ar"]) != len(words["spoken"]) or len(words["zh"]) != len(words["zh-Hant"]):
            raise ValueError(f"{where}: what is written and what is spoken have not as many words")
        found.append(Phrase(label, words))
    return tuple(found)


def vocabulary(lang: str) -> list[str]:
    """The words of a language, without the new one.

    >>> [len(vocabulary(lang)) for lang in LANGS]
    [38, 40, 38, 38]
    """
    return sorted({word for phrase in phrases() for word in phrase.words[lang]})


def said(label: str, rng: random.Random) -> Phrase:
    """A phrase with a label; of numbers one to four."""
    known = [phrase for phrase in phrases() if phrase.label == label]
    phrase = rng.choice(known)
    for _ in range(rng.randrange(MAX_NUMBERS) if label == "number" else 0):
        phrase += rng.choice(known)
    return phrase


def medley(lang: str, rng: random.Random) -> tuple[str, str]:
    """One to four words in any order, as written and as spoken: so that a model learns words, not phrases by heart."""
    pairs = sorted({pair for p in phrases() for pair in zip(p.words[lang], p.words[SPOKEN[lang]], strict=True)})
    chosen = rng.choices(pairs, k=rng.randint(1, 4))
    written, spoken = zip(*chosen, strict=True)
    return ("" if lang.startswith("zh") else " ").join(written), " ".join(spoken)


def synthesize(text: str, voice: str, speed: int, pitch: int) -> np.ndarray:
    """What `espeak-ng` says, as float32 of 16,000 samples a second. `NoSynthesizer` where it is missing."""
    command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "--stdout", text]
    try:
        done = subprocess.run(command, capture_output=True, check=True, close_fds=False)  # which starts it faster
    except FileNotFoundError:
        raise NoSynthesizer(
            "espeak-ng is missing: install it (apt install espeak-ng, brew install espeak-ng)"
        ) from None
    waveform, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
    return resample_poly(waveform, RATE, rate).astype(np.float32)


def room(waveform: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The same in a room: after the sound itself comes an echo that dies away within 0.1 to 0.5 seconds."""
    seconds = random.uniform(0.1, 0.5)
    times = np.arange(round(seconds * RATE)) / RATE
    echo = random.normal(size=len(times)) * np.exp(-6.9 * times / seconds)
    echo *= random.uniform(0.1, 0.5) / np.sqrt((echo**2).sum())
    echo[0] = 1
    return fftconvolve(waveform, echo)


def noise(size: int, random: np.random.Generator) -> np.ndarray:
    """Noise between white and brown, sometimes with the hum of the mains; of mean square 1."""
    spectrum = np.fft.rfft(random.normal(size=size))
    frequencies = np.maximum(np.fft.rfftfreq(size, 1 / RATE), 20)
    found = np.fft.irfft(spectrum * frequencies ** -random.uniform(0, 1), size)
    found /= found.std()
    if random.random() < 0.3:
        found += np.sin(2 * np.pi * random.choice([50, 60, 100, 120]) * np.arange(size) / RATE + random.uniform(0, 6))
    return found / found.std()


def recorded(waveform: np.ndarray, decibels: tuple[float, float], seed: int) -> np.ndarray:
    """As a microphone may hear it: silence before and after, in half of the cases an echo, noise, any loudness."""
    random = np.random.default_rng(seed)
    waveform = np.pad(waveform, random.integers(RATE // 20, RATE // 4, size=2))
    if random.random() < 0.5:
        waveform = room(waveform, random)
    loudness = np.sqrt((waveform**2).mean())
    waveform = waveform + noise(len(waveform), random) * loudness * 10 ** (-random.uniform(*decibels) / 20)
    return (waveform * random.uniform(0.1, 0.9) / np.abs(waveform).max()).astype(np.float32)


def compressed(waveform: np.ndarray) -> bytes:
    """An MP3 file of one channel: every browser plays it, and the same sound always gives the same bytes."""
    file = io.BytesIO()
    style = {"subtype": "MPEG_LAYER_III", "compression_level": 0.99, "bitrate_mode": "VARIABLE"}
    soundfile.write(file, waveform, RATE, format="MP3", **style)
    return file.getvalue()


def clip(spoken: str, lang: str, split: str, rng: random.Random) -> tuple[np.ndarray, str]:
    """A recording of a text in a voice that is drawn, and the voice."""
    voice = f"{rng.choice(ACCENTS[lang])}+{rng.choice(VOICES[split])}"
    waveform = synthesize(spoken, voice, rng.randint(*SPEEDS), rng.randint(*PITCHES))
    return recorded(waveform, NOISE[split], rng.getrandbits(32)), voice


def rows(split: str, lang: str) -> list[dict]:
    """The rows of a split in a language; the same row number has the same label in all of them."""
    rng = random.Random(f"speech {split} {SPOKEN[lang]}")
    if split in PER_LABEL:
        said_here = [said(label, rng) for _ in range(PER_LABEL[split]) for label in LABELS]
    else:
        said_here = [phrases("new")[row % len(phrases("new"))] for row in range(SIZES[split])]
    found = []
    for row, phrase in enumerate(said_here):
        waveform, voice = clip(" ".join(phrase.words[SPOKEN[lang]]), lang, split, rng)
        audio = {"bytes": compressed(waveform), "path": f"{lang}-{split}-{row}.mp3"}
        found.append({"audio": audio, "text": phrase.text(lang), "label": LABELS.index(phrase.label), "voice": voice})
    return found


def write(directory: Path) -> None:
    """All languages and splits, and the card, into `directory`."""
    configs = []
    for lang in LANGS:
        for split in SIZES:
            path = directory / lang / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            dataset = Dataset.from_list(rows(split, lang), features=FEATURES)
            dataset.cast_column("audio", Audio(sampling_rate=RATE)).to_parquet(path)
        configs += config_lines(lang, directory / lang, SIZES)
    sizes = ", ".join(f"{number} {split}" for split, number in SIZES.items())
    card = CARD.format(configs="\n".join(configs), rows=sizes, labels=", ".join(f"`{label}`" for label in LABELS))
    (directory / "README.md").write_text(card, encoding="utf-8")


def build(directory: Path = ASSETS / "data") -> None:
    """The data set, anew, once it is whole."""
    disable_progress_bars()
    fresh = directory / ".fresh-speech"
    shutil.rmtree(fresh, ignore_errors=True)
    write(fresh)
    shutil.rmtree(directory / "speech", ignore_errors=True)
    fresh.rename(directory / "speech")


if __name__ == "__main__":
    build()
