"""Conditions of the exercises of chapter 05."""

import numpy as np
from transformers import Trainer, TrainingArguments


def right_score(metric, prediction) -> bool:
    distance = np.abs(prediction.predictions.argmax(axis=-1) - prediction.label_ids)
    return abs(sum(metric(prediction).values()) - np.mean(distance < 2)) < 1e-6


def best_by_accuracy(args) -> bool:
    return args.metric_for_best_model in ("accuracy", "eval_accuracy") and args.greater_is_better


def scored(trainer) -> bool:
    return trainer.state.best_metric is not None and any("eval_f1" in entry for entry in trainer.state.log_history)


CONDITIONS = {
    1: {
        "function": callable,
        "dictionary": lambda metric, prediction: isinstance(metric(prediction), dict),
        "one": lambda metric, prediction: len(metric(prediction)) == 1,
        "share": lambda metric, prediction: all(0 <= score <= 1 for score in metric(prediction).values()),
        "score": right_score,
    },
    2: {
        "arguments": lambda args: isinstance(args, TrainingArguments),
        "steps": lambda args: args.max_steps == 200,
        "evaluation": lambda args: args.eval_strategy == "steps" and args.eval_steps == 50,
        "saving": lambda args: args.save_strategy == "steps" and args.save_steps == 50,
        "loading": lambda args: args.load_best_model_at_end,
        "metric": best_by_accuracy,
    },
    3: {
        "trainer": lambda trainer: isinstance(trainer, Trainer),
        "labels": lambda trainer: trainer.model.config.num_labels == 2,
        "names": lambda trainer, film_names: list(trainer.model.config.id2label.values()) == film_names,
        "trained": lambda trainer: trainer.state.global_step == 21,
        "metric": scored,
        "learned": lambda trainer: trainer.state.best_metric > 0.5,
    },
}
