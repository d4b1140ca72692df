"""Whatever is sent to the org: it answers with an error of its own (never with UNKNOWN_EXCEPTION), soon, and goes on.

`python -m tests.org.fuzz [--cases 20000] [--face NAME] [--json]` tries many cases on every face and prints how many ran
and what failed; `test_fuzz.py` tries a few. `target` is the org under test, `words` what requests are made of,
`queries`, `requests` and `files` make them, `faces` send them.
"""
