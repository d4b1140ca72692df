"""`python -m tests.org.fuzz`: see the package."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.org.fuzz.target import FaultError, Target
from tests.org.fuzz.targets import APIS


@dataclass
class Outcome:
    cases: int = 0
    seconds: float = 0.0
    faults: dict[str, str] = field(default_factory=dict)  # signature -> the shortest case


def run_cases(target: Target, name: str, cases: int, *, source: int | None = None) -> Outcome:
    """Run cases on one API without stopping at a fault."""
    api, outcome, started = APIS[name], Outcome(), time.monotonic()

    @settings(
        max_examples=cases, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=source is None,
    )  # fmt: skip
    @given(api.cases)
    def run(case: Any) -> None:
        outcome.cases += 1
        try:
            api.act(target, case)
            target.check()
        except FaultError as fault:
            case_text, shortest = repr(case)[:2_000], outcome.faults.get(fault.signature)
            if shortest is None or len(case_text) < len(shortest):
                outcome.faults[fault.signature] = case_text

    (run if source is None else seed(source)(run))()
    outcome.seconds = round(time.monotonic() - started, 1)
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.org.fuzz")
    parser.add_argument("--cases", type=int, default=20_000)
    parser.add_argument("--api", action="append", choices=sorted(APIS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    told: dict[str, Outcome] = {}
    with Target() as target:
        for name in wanted.api or APIS:
            told[name] = run_cases(target, name, max(int(wanted.cases * APIS[name].weight), 1), source=wanted.seed)
            target.works()
            if not wanted.json:
                print(
                    f"{name}: {told[name].cases} cases in {told[name].seconds} s, {len(told[name].faults)} faults",
                    flush=True,
                )
                for signature, case in told[name].faults.items():
                    print(f"  {signature}\n    {case}", flush=True)
    if wanted.json:
        print(json.dumps({name: vars(outcome) for name, outcome in told.items()}, indent=2))
    return int(any(outcome.faults for outcome in told.values()))


if __name__ == "__main__":
    sys.exit(main())
