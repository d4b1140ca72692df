"""`python -m tests.acceptance [FOLDER]`: the main job on a Northwind export, every claim with what was found.

FOLDER holds the Northwind sample company's customers.csv, products.csv, orders.csv, order_details.csv and shippers.csv;
without it an export of the same shape and size is made up. Exit status 1 if a claim does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.acceptance.claims import SCENARIOS
from tests.acceptance.export import Export, made_up


def run(export: Export, folder: Path) -> bool:
    """Print every claim as it is checked; whether all hold."""
    good = True
    for scenario in SCENARIOS:
        print(f"\n{scenario.__name__.replace('_', ' ')}: {(scenario.__doc__ or '').splitlines()[0]}")
        for what, wanted, found, holds in scenario(export, folder / scenario.__name__):
            good &= holds
            print(f"  {'holds' if holds else 'FAILS'}  {what}: {found}" + ("" if holds else f" (wanted: {wanted})"))
            sys.stdout.flush()
    return good


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.acceptance", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="a Northwind export")
    parser.add_argument("--orders", type=int, default=830, help="how many to make up without FOLDER")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        given = Export(folder=chosen.folder.resolve()) if chosen.folder else None
        good = run(given or made_up(folder / "export", orders=chosen.orders), folder)
    print("\nEvery claim holds." if good else "\nNot every claim holds.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
