"""The remarks of `connector status` about an outage of the org."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from connector.cli.status_remarks import outage_remarks

OUTAGE: dict[str, Any] = {
    "since": datetime(2026, 3, 1, tzinfo=UTC), "next_attempt_at": datetime(2026, 3, 1, 1, tzinfo=UTC),
    "message": "No storage.", "fix": "Free some.", "detail": "",
}  # fmt: skip


@pytest.mark.parametrize(("expected", "named"), [(True, True), (False, False)])
def test_time_of_the_next_attempt_is_named_only_while_it_lies_ahead(*, expected: bool, named: bool) -> None:
    [remark] = outage_remarks({**OUTAGE, "retry_expected": expected})
    assert ("a running service tries again at 2026-03-01 01:00:00 UTC" in remark) is named
    assert remark.endswith(" `connector push` tries again at once.")
