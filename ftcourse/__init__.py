"""Fine-tuning pretrained transformers: the helpers that the course's notebooks export, one module a chapter."""

__version__ = "0.2.0"
