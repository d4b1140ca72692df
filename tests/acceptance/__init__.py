"""The main job shown from outside: programs only, read back by somebody else's client. `python -m tests.acceptance`."""
