"""The first page names all that waits for a person, with a way there."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import update

from connector.model.inbound_change import Source
from connector.model.notification import MessageKind, MessageState, NotificationRequest
from connector.store import inbox, job_schedules, notifications, orgs
from connector.store.tables import messages
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
        "refused=yesterday", 'href="/reconcile"', "Nothing was delivered yet",
    ):  # fmt: skip
        assert part in text, part
    assert "Nothing waits for a person" not in text
