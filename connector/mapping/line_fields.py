"""The fields of an order's line that may be changed on both sides, although the mapping says that they belong to us: a
change in the org becomes a command on the order here. PURE.
"""

from __future__ import annotations

from connector.mapping.spec import RecordSpec
from connector.settings.inbound import ChangedLines

LINE = "OrderItem"
_ATTRIBUTES = {"quantity": "Quantity", "net_unit_price": "UnitPrice"}
"""The attributes of a line that a command changes, by the path of the mapping, and their fields."""


def edited_fields(spec: RecordSpec, policy: ChangedLines) -> frozenset[str]:
    """The fields of a line whose change in the org is a change of the line here; none for other objects."""
    if policy is not ChangedLines.TAKE or spec.sobject != LINE:
        return frozenset()
    paths = {field.name: field.path for field in spec.fields}
    return frozenset(name for name, path in paths.items() if path is not None and _ATTRIBUTES.get(path.text) == name)
