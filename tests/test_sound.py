"""Sound: files as people have them, files that are no sound, and what the chapter exports."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from datasets import Audio, Dataset
from transformers import AutoModelForCTC
from transformers.models.seamless_m4t.feature_extraction_seamless_m4t import SeamlessM4TFeatureExtractor

from ftcourse.engine.audio import LEAST, read_audio
from ftcourse.engine.messages import message, use_language
from ftcourse.exercises.sound import CONDITIONS, COUNTS
from ftcourse.kit import Kit
from ftcourse.sound import (
    collapse,
    collate_audio,
    edit_table,
    log_mel,
    sound_classifier,
    spectrogram,
    waveforms,
    word_error_rate,
)
from tests.test_keras import last_line
from tools.settings import ROOT, languages

RATE = 16_000
NO_SOUNDFILE = "import sys\nsys.modules['soundfile'] = None"


def tone(seconds: float = 1.0, rate: int = RATE, frequency: float = 440) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def as_file(sound: np.ndarray, rate: int, kind: str = "WAV", **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format=kind, **options)
    return file.getvalue()


def said(lang: str, source, key: str, **values) -> str:
    """What a reader of a language is told about a file; it must be the message of that key."""
    use_language(lang)
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        read_audio(source)
    start = message(lang, "errors", key, **{"reason": "", "seconds": "", "least": LEAST, **values})[:12]
    assert str(error.value).startswith(start)
    return str(error.value)


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_every_rate_becomes_the_one_that_is_wanted(rate):
    sound = read_audio(as_file(tone(rate=rate), rate))
    assert sound.dtype == np.float32 and sound.shape == (RATE,)
    assert np.abs(sound[800:-800] - tone()[800:-800]).max() < 0.02
    assert read_audio(as_file(tone(rate=rate), rate), sampling_rate=8_000).shape == (8_000,)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_channels_become_one(channels):
    several = np.stack([tone()] + [np.zeros(RATE)] * (channels - 1), axis=1)
    assert np.abs(read_audio(as_file(several, RATE)) - tone() / channels).max() < 1e-3


@pytest.mark.parametrize(
    ("kind", "options"),
    [("WAV", {"subtype": "PCM_U8"}), ("WAV", {"subtype": "PCM_24"}), ("WAV", {"subtype": "FLOAT"}), ("FLAC", {})]
    + [("OGG", {}), ("MP3", {})],
)
def test_kinds_of_files(kind, options, tmp_path):
    path = tmp_path / "a name of any kind"
    path.write_bytes(as_file(tone(), RATE, kind, **options))
    sound = read_audio(path)
    assert abs(len(sound) - RATE) < 2_000 and 0.4 < np.abs(sound).max() < 0.6


@pytest.mark.parametrize("lang", languages())
def test_what_cannot_be_used_is_told_in_every_language(lang, tmp_path):
    def file(name: str, content: bytes):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    whole = as_file(tone(), RATE, "FLAC")
    said(lang, file("empty.wav", b""), "audio_empty", name="empty.wav")
    said(lang, file("letter.wav", "نصّ 文字 text".encode()), "audio_text", name="letter.wav")
    said(lang, file("mine.m4a", b"\0\0\0\x20ftypM4A " + bytes(range(256)) * 9), "audio_unknown", name="mine.m4a")
    said(lang, file("half.flac", whole[: len(whole) // 2]), "audio_damaged", name="half.flac")
    said(lang, file("head.wav", as_file(tone(), RATE)[:20]), "audio_damaged", name="head.wav")
    assert "0.05" in said(lang, file("short.wav", as_file(tone(0.05), RATE)), "audio_too_short", name="short.wav")
    said(lang, file("none.wav", as_file(np.zeros(0), RATE)), "audio_too_short", name="none.wav")
    said(lang, file("off.wav", as_file(np.zeros(RATE), RATE)), "audio_silent", name="off.wav")
    broken = np.full(RATE, np.nan)
    said(lang, file("nan.wav", as_file(broken, RATE, subtype="FLOAT")), "audio_damaged", name="nan.wav")
    said(lang, tmp_path, "audio_folder", name=str(tmp_path))
    said(lang, tmp_path / "gone.wav", "no_file", name=str(tmp_path / "gone.wav"))
    said(lang, b"", "audio_empty", name="bytes")


def test_the_advice_can_be_followed(tmp_path):
    path = tmp_path / "mine.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(range(256)) * 9)
    assert "ffmpeg -i mine.m4a mine.wav" in said("en", path, "audio_unknown", name="mine.m4a")


@pytest.mark.parametrize("rate", [0, -1, 16_000.0, "16k"])
def test_a_rate_that_is_none(rate):
    with pytest.raises(ValueError, match="sampling_rate must be a whole number"):
        read_audio(as_file(tone(), RATE), sampling_rate=rate)


@pytest.mark.parametrize("lang", languages())
def test_without_soundfile_one_line_says_how_to_get_it(lang):
    line = last_line(f"{NO_SOUNDFILE}\nimport ftcourse.sound", lang)
    reason = "import of soundfile halted; None in sys.modules"
    assert line == f"ImportError: {message(lang, 'errors', 'no_soundfile', reason=reason)}"
    assert 'pip install "soundfile>=0.13"' in line


def test_the_rest_of_the_package_needs_no_soundfile():
    code = f"{NO_SOUNDFILE}\nimport ftcourse.images, ftcourse.kit, ftcourse.engine.fetch"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_a_tone_is_a_line_at_its_frequency():
    power = spectrogram(tone(frequency=1_000))
    assert power.shape == (98, 201) and set(power.argmax(axis=1) * 8_000 / 200) == {1_000}
    assert spectrogram(tone(rate=8_000, frequency=1_000), 8_000).argmax(axis=1)[0] * 4_000 / 100 == 1_000


@pytest.mark.parametrize("waveform", [np.zeros((2, RATE)), np.zeros(100), 3.0])
def test_what_is_no_waveform_is_told(waveform):
    with pytest.raises(ValueError, match="waveform has shape .* as read_audio gives one"):
        spectrogram(waveform)


def test_log_mel_is_nearly_what_the_feature_extractor_makes():
    random = np.random.default_rng(0)
    sound = (tone(frequency=300) + tone(frequency=1_900) * np.linspace(0, 1, RATE)).astype(np.float32)
    sound += 0.01 * random.normal(size=RATE).astype(np.float32)
    extract = SeamlessM4TFeatureExtractor(num_mel_bins=80, feature_size=80, stride=4)
    theirs = extract(sound, sampling_rate=RATE)["input_features"][0].reshape(-1, 80)
    ours = log_mel(sound)[: len(theirs)]
    ours = (ours - ours.mean(axis=0)) / ours.std(axis=0)
    assert np.corrcoef(ours.ravel(), theirs[: len(ours)].ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("frames", "text"), [("", ""), ("____", ""), ("aab", "ab"), ("a_ab", "aab"), ("_hh_e_l_ll_o_", "hello")]
)
def test_the_rule_of_ctc(frames, text):
    assert "".join(collapse(frames, blank="_")) == text


def test_collapse_takes_numbers_and_tensors():
    assert collapse([0, 5, 5, 0, 5, 3]) == [5, 5, 3] == [int(one) for one in collapse(torch.tensor([0, 5, 5, 0, 5, 3]))]


@pytest.mark.parametrize(
    ("one", "other", "edits"),
    [("", "", 0), ("abc", "", 3), ("", "ab", 2), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("开门", "关门", 1)],
)
def test_fewest_edits(one, other, edits):
    assert edit_table(one, other)[-1, -1] == edits == edit_table(other, one)[-1, -1]
    assert edit_table(one, other).shape == (len(one) + 1, len(other) + 1)


def test_word_error_rate():
    assert word_error_rate(["a b c", "d"], ["a b c", "d"]) == 0
    assert word_error_rate(["a b c", "d"], ["a x c", ""]) == 0.5
    assert word_error_rate(["a"], ["a b c"]) == 2
    assert word_error_rate(["打开电灯"], ["打开电扇"], list) == 0.25
    with pytest.raises(ValueError, match=r"len\(said\)=1, len\(heard\)=2"):
        word_error_rate(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="there is not one word"):
        word_error_rate(["", " "], ["a", "b"])
    with pytest.raises(ValueError, match="said is a single str"):
        word_error_rate("a", ["a"])


def test_a_batch_tells_what_was_filled_up():
    rows = [{"input_features": torch.ones(n, 4), "labels": torch.arange(n)} for n in (2, 3)]
    batch = collate_audio(rows)
    assert batch["input_features"].shape == (2, 3, 4) and batch["input_features"][0, 2].tolist() == [0] * 4
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [[0, 1, -100], [0, 1, 2]]


def test_wrong_answers_to_the_exercises():
    third = CONDITIONS[3]
    assert all(condition(COUNTS) for condition in third.values())
    assert all(condition((*COUNTS[:2], 74)) for condition in third.values())
    assert not third["channels"]((132_300, 48_000, 75)) and not third["vectors"]((*COUNTS[:2], 150))
    assert not third["waveform"]((264_600, 96_000, 75)) and not third["three"]([1, 2, 3])
    sounds, second = [tone().astype(np.float32)], CONDITIONS[2]
    assert second["quiet"](lambda sound: sound + 0.4 * sound, sounds)
    assert not second["quiet"](lambda sound: -sound, sounds) and not second["same"](lambda sound: sound[::2], sounds)
    assert not second["numbers"](lambda sound: sound * np.nan, sounds)


def test_recordings_in_files_of_their_own_are_read(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(as_file(tone(), RATE))
    rows = Dataset.from_dict({"audio": [str(path)]}).cast_column("audio", Audio(decode=False))
    assert next(waveforms(rows)).shape == (RATE,)


def test_a_new_head_on_weights_in_half_is_trained_in_32_bits(tmp_path):
    AutoModelForCTC.from_pretrained(Kit().model("speech"), dtype=torch.float16).save_pretrained(tmp_path)
    made = sound_classifier(str(tmp_path), ["on", "off"])
    assert {parameter.dtype for parameter in made.parameters()} == {torch.float32}
