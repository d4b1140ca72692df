"""The first page names all that waits for a person, with a way there."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

from sqlalchemy import update

from connector.model.inbound_change import Source
from connector.model.notification import MessageKind, MessageState, NotificationRequest
from connector.model.role import Role
from connector.model.sync_delay import Direction, bucket_of
from connector.store import inbox, job_schedules, notifications, orgs, sync_delays
from connector.store.tables import messages, outbox
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import open_page, sign_in
from tests.web.test_dead_letters import MISSING, refuse


async def test_home_names_all_that_waits_for_a_person_and_where(api: Api) -> None:
    await placed(api)
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="", is_active=True)
        await job_schedules.set_paused(uow, "prune", True, actor="kim")
        await notifications.capture(
            uow, [NotificationRequest(order="W-1", kind=MessageKind.CONFIRMATION, reference="")]
        )
        await uow.connection.execute(update(messages).values(state=MessageState.FAILED.value))
        await inbox.park(uow, "00D", ("Account", "001000000000001AAA"), Source.POLL, error="x", fix="y")
    for number in range(2, 8):
        await placed(api, number=f"W-{number}")
        await refuse(api, f"W-{number}", replace(MISSING, field=f"Order.F{number}"))
    await sign_in(api)
    _, text = await open_page(api, "/")
    for part in (
        'href="/usage#messages"', 'href="/jobs">paused job</a>: prune', 'href="/inbox"', "2 more causes",
        "refused=today", 'href="/reconcile"', "Nothing was delivered yet",
    ):  # fmt: skip
        assert part in text, part
    assert "Nothing waits for a person" not in text


async def test_home_and_status_say_how_long_changes_of_each_stage_took_and_which_waits(api: Api) -> None:
    await placed(api)
    await placed(api, number="W-2")
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="", is_active=True)
        old = update(outbox).where(outbox.c.key == "W-1").values(captured_at=uow.now - timedelta(seconds=1300))
        await uow.connection.execute(old)
        fast, slow = timedelta(seconds=0.25), timedelta(seconds=100)
        to_org = [bucket_of(Direction.TO_ORG, "confirmed", delay) for delay in (fast, fast, slow)]
        sync_delays.add(uow, "00D", [*to_org, bucket_of(Direction.FROM_ORG, "Account", slow)])
    freshness = (await api("GET", "/status", role=Role.VIEWER)).body["freshness"]
    by_kind = {row["kind"]: row for row in freshness["stages"] + freshness["changes_of_org"]}
    assert by_kind["confirmed"]["hour"] == {"changes": 3, "p50": 0.3, "p95": 120}
    assert by_kind["Account"]["day"] == {"changes": 1, "p50": 120, "p95": 120}
    assert (by_kind["placed"]["oldest_seconds"], by_kind["confirmed"]["oldest_seconds"]) == (1300, None)
    await sign_in(api)
    _, text = await open_page(api, "/")
    words = " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())
    assert "confirmed 0.3 s · 2 min 0.3 s · 2 min –" in words
    assert "placed – – 22 min" in words
    assert "accounts 2 min · 2 min" in words
