"""Fine-tuning pretrained transformers: a course of notebooks in Arabic, Chinese and English that runs offline, and the package they export

Modules:

- `ftcourse.engine.encodings`: In which encoding a text file is: told by its mark, by its zero bytes, by being valid UTF-8, or else by evidence."""

__version__ = "0.2.0"
