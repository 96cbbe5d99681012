"""Conditions of the exercises of chapter 10."""

from ftcourse.engine.backend import keras

MARGIN, MAX_STEPS = 0.1, 12
RATES = {0: 0.0, 5: 1.5e-4, 10: 3e-4, 55: 1.5e-4, 100: 0.0}


def rate(schedule, step: int) -> float:
    """The learning rate of a schedule at a step."""
    return float(schedule(step))


def close(schedule, steps) -> bool:
    """Whether the schedule has the rates that are wanted at these steps."""
    return all(abs(rate(schedule, step) - RATES[step]) < 1e-6 for step in steps)


CONDITIONS = {
    1: {
        "schedule": lambda schedule: isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule),
        "warmup": lambda schedule: close(schedule, (0, 5, 10)),
        "wave": lambda schedule: close(schedule, (55, 100)) and rate(schedule, 20) > 2.9e-4,
    },
    2: {
        "list": lambda callbacks: isinstance(callbacks, list) and len(callbacks) == 2,
        "both": lambda callbacks, stopping: (
            stopping in callbacks and {type(one).__name__ for one in callbacks} == {"ScoreCallback", "EarlyStopping"}
        ),
        "watched": lambda callbacks, stopping: (
            (stopping.monitor, stopping.mode, stopping.patience) == ("val_f1", "max", 2)
        ),
        "still": lambda callbacks: type(callbacks[0]).__name__ == "EarlyStopping",
    },
    3: {
        "classifier": lambda classifier: isinstance(classifier, keras.Model),
        "steps": lambda classifier: 0 < int(classifier.optimizer.iterations) <= MAX_STEPS,
        "better": lambda classifier, weak, valid_batches: (
            classifier.evaluate(valid_batches, verbose=0, return_dict=True)["accuracy"] >= weak + MARGIN - 1e-6
        ),
    },
}
