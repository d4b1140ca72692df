"""How the connector compares: the same load into fresh local orgs, side by side. `python -m tests.bench`."""
