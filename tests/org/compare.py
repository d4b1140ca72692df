"""Compare the local org's objects with recorded orgs: `python -m tests.org.compare FILE`.

FILE maps object names to `{"core": [describe fields that all recorded orgs have]}` and is not part of the project. It
prints one difference per line; the exit status says whether there are any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from connector.localorg.standard_objects import standard_schema


def differences(recorded: dict[str, Any]) -> Iterator[str]:
    """Yield the differences of objects that both sides have."""
    schema = standard_schema()
    for name in sorted(recorded.keys() & {item.name for item in schema}):
        sobject = schema.get(name)
        assert sobject is not None
        for fact in recorded[name]["core"]:
            field = sobject.get(fact["name"])
            if field is None:
                yield f"{name}.{fact['name']}: missing"
                continue
            ours = {
                "type": field.type,
                "nillable": field.nillable,
                "referenceTo": sorted(field.reference_to),
                "filterable": field.filterable,
                "sortable": field.sortable,
                "groupable": field.groupable,
                "aggregatable": field.aggregatable,
            }
            theirs = {key: sorted(fact[key]) if key == "referenceTo" else fact[key] for key in ours}
            if fact["referenceTo"]:  # some orgs name a relationship for a text field; no query can use it
                ours["relationshipName"], theirs["relationshipName"] = field.relationship_name, fact["relationshipName"]
            yield from (f"{name}.{fact['name']}: {key} is {ours[key]}, recorded {theirs[key]}"
                        for key in ours if ours[key] != theirs[key])  # fmt: skip


def main() -> int:
    recorded = json.loads(Path(sys.argv[1]).read_text())
    result = list(differences(recorded))
    ours = {item.name for item in standard_schema()}
    both = sorted(recorded.keys() & ours)
    fields = sum(len(recorded[name]["core"]) for name in both)
    print(*result, f"{len(result)} differences in {fields} fields of {', '.join(both)}.", sep="\n")
    print(f"Recorded and not here: {', '.join(sorted(recorded.keys() - ours))}.")
    return bool(result)


if __name__ == "__main__":
    sys.exit(main())
