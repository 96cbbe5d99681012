"""Conditions of the exercises of chapter 08."""

import numpy as np
import pandas as pd

COLUMNS = {"message", "stars", "customer"}


def answers_of(function, prepared) -> np.ndarray:
    train = prepared.train
    return np.asarray(function(train["text"][:], train["label"][:], prepared.valid["text"][:]))


CONDITIONS = {
    1: {
        "function": callable,
        "answers": lambda function, prepared: answers_of(function, prepared).shape == (prepared.valid.num_rows,),
        "goal": lambda function, prepared, goal: (
            int((answers_of(function, prepared) == np.array(prepared.valid["label"][:])).sum()) > goal
        ),
    },
    2: {
        "table": lambda table: isinstance(table, pd.DataFrame) and set(table.columns) >= COLUMNS,
        "doubled": lambda table: table["message"].is_unique,
        "fooled": lambda table, scores: scores(table)["at random"] > 0.9,
        "honest": lambda table, scores: scores(table)["by customer"] < 0.6,
    },
    3: {
        "list": lambda rows: isinstance(rows, list) and all(isinstance(row, int) for row in rows),
        "contradiction": lambda rows: not {1, 2} & {*rows},
        "rare": lambda rows: 0 not in rows,
        "rows": lambda rows: sorted(rows) == [3, 4],
    },
}
