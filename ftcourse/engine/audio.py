"""Sound from files, as a model can take it: one channel, as many samples a second as it wants. What is no sound, or a
damaged one, is told in the reader's language. Where `soundfile` is missing, an `ImportError` says so in one line."""

import io
import os
from importlib import import_module
from math import gcd
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy.signal import resample_poly

from ftcourse.engine.checks import check_number, kind_of_bytes
from ftcourse.engine.folders import reason
from ftcourse.engine.messages import trouble

RATE = 16_000  # samples a second
LEAST = 0.1  # seconds: in less, nothing can be said
NO_SOUND = {"empty": "audio_empty", "text": "audio_text"}


def sound_library() -> ModuleType:
    """The library `soundfile`, which brings the codecs that it needs. `ImportError` where it cannot be had.

    >>> sound_library().__name__
    'soundfile'
    """
    try:
        return import_module("soundfile")
    except (ImportError, OSError) as error:  # OSError: without the library in C behind it
        raise trouble("no_soundfile", ImportError, reason=reason(error)) from None


soundfile = sound_library()


def read_audio(source: str | os.PathLike | bytes, sampling_rate: int = RATE) -> np.ndarray:
    """Sound from a file, or from the bytes of one: float32 from -1 to 1 of shape (samples,), all channels as one.

    Raises `FileNotFoundError` for no such file, and `ValueError` for a folder, for what is no sound, for a damaged
    one, for less than a tenth of a second and for silence.

    >>> file = io.BytesIO()
    >>> soundfile.write(file, [[0.5, 0.1]] * 8_000, 8_000, format="WAV")
    >>> sound = read_audio(file.getvalue())
    >>> sound.shape, round(float(sound[8_000]), 2)
    ((16000,), 0.3)
    """
    check_number("sampling_rate", sampling_rate, 1, whole=True)
    data, name = (source, "bytes") if isinstance(source, bytes) else (contents(Path(source)), Path(source).name)
    kind = kind_of_bytes(data[:2048])
    if kind in NO_SOUND:
        raise trouble(NO_SOUND[kind], name=name)
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            sound, rate = file.read(dtype="float32", always_2d=True).mean(axis=1), file.samplerate
    except soundfile.LibsndfileError as error:
        key = "audio_unknown" if "not recognised" in error.error_string else "audio_damaged"
        raise trouble(key, name=name, reason=error.error_string) from None
    if not np.isfinite(sound).all():
        raise trouble("audio_damaged", name=name, reason="NaN")
    if len(sound) < LEAST * rate:
        raise trouble("audio_too_short", name=name, seconds=round(len(sound) / rate, 3), least=LEAST)
    if not sound.any():
        raise trouble("audio_silent", name=name)
    return resampled(sound, rate, sampling_rate)


def contents(path: Path) -> bytes:
    """What a file holds; `FileNotFoundError` where it is not there, `ValueError` where it is a folder."""
    if not path.exists():
        raise trouble("no_file", FileNotFoundError, name=str(path))
    if path.is_dir():
        raise trouble("audio_folder", name=str(path))
    return path.read_bytes()


def resampled(sound: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """The same sound with another number of samples a second.

    >>> resampled(np.ones(44_100, np.float32), 44_100, 16_000).shape
    (16000,)
    """
    if rate == wanted:
        return sound
    common = gcd(rate, wanted)
    return resample_poly(sound, wanted // common, rate // common).astype(np.float32)
