"""A call that is refused as a whole is sent in parts until the refused record is found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from connector.model.outcome import RowError
from connector.model.record import Link
from connector.outbound.dispatcher import CallDispatcher
from connector.outbound.health import OrgHealth
from connector.outbound.push_parts import PushMonitor
from connector.outbound.results import WriteResult
from connector.outbound.stats import SyncStats
from connector.outbound.unconfirmed_sends import BatchItem
from connector.salesforce.errors import error_for_call
from connector.salesforce.fault import classify_call
from tests.unit.outbound.conftest import an_order, pending

KEYS = [f"A-{number:02}" for number in range(16)]
SAID = "value 'jane@example.com' is odd"


class AnyLedger:
    async def may_send(self) -> None:
        pass


class AnOrg:
    """An org that refuses calls with a key of `poison`, or with more than `limit` records."""

    def __init__(self, *poison: str, status: int = 400, code: str = "NEVER_SEEN", limit: int = 100) -> None:
        self.poison, self.status, self.code, self.limit = set(poison), status, code, limit
        self.calls = 0
        self.health = OrgHealth()

    async def send(self) -> list[WriteResult]:
        repository: Any = AnyLedger()
        monitor = PushMonitor(stats=SyncStats(), advance=lambda count: None, health=self.health)
        calls = CallDispatcher(repository, monitor)
        return await calls.send([BatchItem(pending(an_order(number=key))) for key in KEYS], self.call)

    async def call(self, items: Sequence[BatchItem]) -> list[WriteResult]:
        self.calls += 1
        keys = [item.pending.change.key for item in items]
        if len(keys) > self.limit or self.poison & set(keys):
            errors = [RowError(code=self.code, message=SAID)] if self.code else []
            raise error_for_call(classify_call(self.status, errors), status=self.status, errors=errors)
        return [WriteResult(pending=item.pending, links=(a_link(item),), updated={"Order": 1}) for item in items]


def a_link(item: BatchItem) -> Link:
    return Link(entity="order", key=item.pending.change.key, sobject="Order", salesforce_id="801", snapshot={})


@pytest.mark.parametrize(
    "poison",
    [["A-03"], ["A-00"], ["A-02", "A-03"], ["A-02", "A-12"], ["A-00", "A-14"], ["A-08", "A-15"], KEYS[1::2][:7]],
)
@pytest.mark.parametrize("code", ["NEVER_SEEN", "INVALID_FIELD", "MALFORMED_ID"])
async def test_refused_items_are_isolated_and_all_others_are_sent(poison: list[str], code: str) -> None:
    org = AnOrg(*poison, code=code)
    results = await org.send()
    assert org.health.stopped is None
    assert {result.pending.change.key for result in results if result.success} == set(KEYS) - set(poison)
    assert {result.pending.change.key for result in results if result.refusal} == set(poison)
    assert org.calls <= 6 * len(poison) + 6


async def test_call_refused_in_doubt_in_each_part_stops_after_one_path_and_one_more() -> None:
    org = AnOrg(*KEYS)
    results = await org.send()
    assert (org.calls, org.health.stopped is not None) == (6, True)
    assert not any(result.refusal or result.success for result in results)
    assert {result.pending.change.key for result in results if result.doubt} == {"A-00", "A-15"}


@pytest.mark.parametrize("status", [413, 414, 431])
async def test_too_large_call_is_sent_in_smaller_ones(status: int) -> None:
    org = AnOrg(status=status, code="", limit=4)
    assert all(result.success for result in await org.send())
    assert (org.calls, org.health.stopped) == (7, None)


async def test_single_record_that_is_too_large_is_refused() -> None:
    org = AnOrg("A-05", status=413, code="")
    assert [result.pending.change.key for result in await org.send() if result.refusal] == ["A-05"]


async def test_message_of_the_org_is_kept_as_detail() -> None:
    org = AnOrg(*KEYS)
    await org.send()
    stopped = org.health.stopped
    assert stopped is not None
    assert (stopped.detail, "jane" in str(stopped), "NEVER_SEEN" in stopped.message) == (SAID, False, True)
