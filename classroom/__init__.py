"""The course in a class: JupyterHub on one server, each learner within limits, and the Hub in the room beside it."""
