"""The kit's speech: what is said and by whom, and that the checkpoint hears it."""

import io
import re
import shutil
import subprocess
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import soundfile
from datasets import Audio, load_dataset
from transformers import pipeline

from ftcourse.kit import LANGS, Kit
from kit import recognizer, speech
from kit.data import ASSETS

NEW = {"en": "curtain", "ar": "الستارة", "zh": "窗帘", "zh-Hant": "窗簾"}
BAR = 0.10
SYNTHESIZER = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is missing")


@pytest.fixture(scope="module")
def loaded():
    return {
        lang: load_dataset(*Kit(lang).dataset("speech")).cast_column("audio", Audio(decode=False)) for lang in LANGS
    }


def waveform(row: dict) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(row["audio"]["bytes"]))


def words(text: str, lang: str) -> list[str]:
    """The words of a text; in Chinese, the longest known ones from the left."""
    known = [*speech.vocabulary(lang), NEW[lang]]
    if not lang.startswith("zh"):
        return text.split()
    return re.findall("|".join(sorted(map(re.escape, known), key=len, reverse=True)) + "|.", text)


def test_sizes_and_labels(loaded):
    for dataset in loaded.values():
        assert {split: len(part) for split, part in dataset.items()} == speech.SIZES
        for split, number in speech.PER_LABEL.items():
            assert set(Counter(dataset[split]["label"]).values()) == {number}
            assert dataset[split]["label"][:] == loaded["en"][split]["label"][:]
        assert dataset["train"].features["label"].names == speech.LABELS


def test_every_clip_is_a_short_sound_of_one_channel(loaded):
    for lang, dataset in loaded.items():
        for part in dataset.values():
            for row in part:
                sound, rate = waveform(row)
                assert (sound.ndim, rate) == (1, speech.RATE) and 0.4 < len(sound) / rate < 8, row["text"]
                assert 0.05 < np.abs(sound).max() <= 1, row["text"]
                assert row["audio"]["path"].startswith(f"{lang}-")


def test_the_words_are_those_of_the_table(loaded):
    for lang, dataset in loaded.items():
        known = set(speech.vocabulary(lang))
        assert 30 <= len(known) <= 40
        for split, part in dataset.items():
            for text in part["text"]:
                strange = set(words(text, lang)) - known
                assert strange == ({NEW[lang]} if split.startswith("new") else set()), text


def test_voices_to_test_with_are_heard_in_no_training(loaded):
    for one, other in combinations(speech.NAMES, 2):
        family = [{re.sub(r"\d", "", name.lower()) for name in speech.VOICES[split]} for split in (one, other)]
        numbered = {"f", "m"}  # f1 and f2 are no relatives
        assert not set(speech.VOICES[one]) & set(speech.VOICES[other])
        assert not family[0] & family[1] - numbered
    for dataset in loaded.values():
        for split, part in dataset.items():
            assert {voice.partition("+")[2] for voice in part["voice"]} <= set(speech.VOICES[split])
    assert set(speech.VOICES["new"]) == set(speech.VOICES["train"])
    assert set(speech.VOICES["new_test"]) == set(speech.VOICES["test"])


def test_no_clip_is_there_twice(loaded):
    for dataset in loaded.values():
        clips = [row["audio"]["bytes"] for part in dataset.values() for row in part]
        assert len(clips) == sum(speech.SIZES.values()) == len(set(clips))


def test_both_scripts_have_the_same_sound(loaded):
    for split in speech.SIZES:
        for one, other in zip(loaded["zh"][split], loaded["zh-Hant"][split], strict=True):
            assert one["audio"]["bytes"] == other["audio"]["bytes"] and len(one["text"]) == len(other["text"])
    assert loaded["zh"]["test"]["text"][:] != loaded["zh-Hant"]["test"]["text"][:]


def test_it_is_small():
    sizes = [file.stat().st_size for file in (ASSETS / "data" / "speech").rglob("*") if file.is_file()]
    assert len(sizes) > 20 and sum(sizes) <= 4_000_000
    sizes = [file.stat().st_size for file in (ASSETS / "models" / "speech").iterdir()]
    assert len(sizes) >= 5 and sum(sizes) <= 6_000_000


@SYNTHESIZER
def test_making_it_again_gives_the_same_bytes(loaded):
    version = subprocess.run(["espeak-ng", "--version"], capture_output=True, text=True, check=True).stdout
    if "1.51" not in version:
        pytest.skip(f"the kit's voices are those of espeak-ng 1.51, not of {version}")
    for lang in ("en", "ar", "zh-Hant"):
        again, shipped = speech.rows("new_test", lang), loaded[lang]["new_test"]
        assert [row["audio"]["bytes"] for row in again] == [row["audio"]["bytes"] for row in shipped]
        assert [row["text"] for row in again] == shipped["text"][:]


def test_a_missing_synthesizer_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(speech.NoSynthesizer, match="espeak-ng is missing: install it"):
        speech.synthesize("one", "en", 150, 50)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("shout\tone\tواحد\tواحد\t一\t一", "unknown label 'shout'"),
        ("on\tone\tواحد\tواحد اثنان\t一\t一", "not as many words"),
        ("on\tone\tواحد\tواحد\t一", "5 fields, expected 6"),
    ],
)
def test_a_wrong_line_is_named(line, said, tmp_path, monkeypatch):
    (tmp_path / "odd.tsv").write_text("\t".join(speech.COLUMNS) + f"\n{line}\n", encoding="utf-8")
    monkeypatch.setattr(speech, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=rf"odd\.tsv:2: .*{said}"):
        speech.phrases("odd")


def test_it_hears_voices_that_it_has_never_heard():
    rates = recognizer.measure()
    assert set(rates) == set(LANGS)
    assert max(rates.values()) <= BAR, rates


def test_a_pipeline_writes_down_what_is_said(loaded):
    transcribe = pipeline("automatic-speech-recognition", model=Kit().model("speech"))
    for lang, dataset in loaded.items():
        transcribe.tokenizer.set_target_lang(lang)
        rows = dataset["train"].select(range(8))
        heard = [transcribe(waveform(row)[0].astype(np.float32))["text"] for row in rows]
        assert recognizer.error_rate(rows["text"][:], heard, lang) < 0.3, heard
    sound, rate = waveform(loaded["en"]["train"][0])
    timed = transcribe({"array": sound, "sampling_rate": rate}, return_timestamps="word")
    assert 0 <= timed["chunks"][0]["timestamp"][0] < len(sound) / rate
