"""`python -m tests.cases [WORD…]`: difficult inputs and situations, each with the expected result.

Each case runs the installed programs against a local org. WORD selects cases whose name contains it; without one, all
run, which takes some minutes. CASES_IMPORT_FILES names another folder of export files, laid out like import_files.
Exit status 1 if a result is not as expected."""

from __future__ import annotations

import argparse
import sys
import tempfile
import traceback
from pathlib import Path

from tests.cases import imports, orders, outbound, service, untrusted
from tests.cases.lab import Case

LONGEST = 400
"""Characters of what was found that are printed."""

ROOMS = {
    "orders": orders.CASES,
    "outbound": outbound.CASES,
    "imports": imports.CASES,
    "service": service.CASES,
    "untrusted": untrusted.CASES,
}


def run(name: str, case: Case, folder: Path) -> bool:
    """Run the case, print every claim as it is checked, and return whether all are right."""
    print(f"\n{name}: {(case.__doc__ or '').splitlines()[0]}")
    good = True
    try:
        for what, wanted, found, right in case(folder):
            good &= right
            print(
                f"  {'right' if right else 'WRONG'}  {what}: {_short(found)}" + ("" if right else f" (right: {wanted})")
            )
            sys.stdout.flush()
    except Exception:
        good = False
        print(f"  WRONG  it broke off\n{traceback.format_exc()}")
    return good


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cases", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="only cases whose name contains one of them")
    parser.add_argument("--list", action="store_true", help="name the cases and end")
    chosen = parser.parse_args()
    cases = {f"{room}.{case.__name__}": case for room, found in ROOMS.items() for case in found}
    picked = {name: case for name, case in cases.items() if not chosen.words or any(w in name for w in chosen.words)}
    if chosen.list or not picked:
        print(*(picked or cases), sep="\n")
        return 0 if picked else 2
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, case in picked.items():
            if not run(name, case, Path(scratch) / name):
                wrong.append(name)
    print(
        f"\n{len(picked) - len(wrong)} of {len(picked)} cases are right.",
        *(f"WRONG: {name}" for name in wrong),
        sep="\n",
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
