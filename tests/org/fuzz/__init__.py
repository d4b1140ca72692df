"""Fuzzing: whatever is sent, the org answers soon, never with UNKNOWN_EXCEPTION, and continues to work.

`python -m tests.org.fuzz [--cases 20000] [--api NAME] [--json]` runs many cases on every API and prints how many ran
and which failed; `test_fuzz.py` runs a few. `target` is the org under test; `strategies`, `queries`, `requests` and
`files` generate input; `targets` sends it.
"""
