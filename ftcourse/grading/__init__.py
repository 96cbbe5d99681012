"""Exercises as an assignment that is handed out, handed in and graded: notebooks in nbgrader's format, answers that run
in a sandbox, and the course's conditions in another process, where no answer reaches them."""
