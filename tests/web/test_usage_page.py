"""What the limits of the org leave, as a page with charts; what failed to be sent is sent again from it."""

from __future__ import annotations

import re
from datetime import timedelta

from sqlalchemy import update

from connector.model.api_budget import ApiLimit, BudgetState, CallResult
from connector.model.change_notice import NewNotice, NoticeState
from connector.model.deliveries import DeliveryLimit, DeliveryMode, TopicState
from connector.model.lane import Lane
from connector.model.notification import MessageKind, MessageState, NotificationRequest
from connector.model.platform_event import PlatformEvent
from connector.model.role import Role
from connector.store import api_calls, change_notices, deliveries, notifications, orgs
from connector.store.event_tables import outgoing_events as outgoing_table
from connector.store.inbound_tables import change_notices as notice_table
from connector.store.tables import messages
from tests.conftest import ManualClock
from tests.web.conftest import Api
from tests.web.test_api import placed
from tests.web.test_console import open_page, send, sign_in


async def test_limits_are_shown_with_the_hour_at_which_they_run_out(api: Api, clock: ManualClock) -> None:
    await sign_in(api, Role.VIEWER)
    assert "No org has answered yet" in (await open_page(api, "/usage"))[1]
    now = clock.now()
    async with api.store.transaction() as uow:
        await orgs.put(uow, "00D", login_url="", instance_url="", is_active=True)
        counts = {
            (now, Lane.NEW, CallResult.ANSWERED): 900, (now - timedelta(hours=2), Lane.BACKFILL, CallResult.FAILED): 30,
        }  # fmt: skip
        await api_calls.add(uow, "00D", counts)
        limit = ApiLimit(used=4200, allowed=5000, observed_at=now)
        await api_calls.put_state(uow, "00D", BudgetState(lowest_lane=Lane.NEW, since=now, limit=limit))
        await deliveries.put_state(uow, "00D", TopicState(topic="/data/X__chn", mode=DeliveryMode.STREAM))
        await deliveries.add(uow, "00D", "/data/X__chn", 77)
    _, text = await open_page(api, "/usage")
    for part in ("Paused: ", "4,200", "/data/X__chn", "12:00: 900", "10:00: 30", "12:00: 77"):
        assert part in text, part
    unknown = "When it runs out is not known yet: it was counted for less than an hour."
    assert text.count(unknown) == 0  # the org has not said how many deliveries it allows, and lanes pause
    assert "The org does not say how many it allows." in text
    limit = DeliveryLimit(used=20_000, allowed=25_000, observed_at=now, counted_in_hour=77)
    late = "Does not run out within 24 hours, at 77 an hour."
    for begun, sentence in ((now, unknown), (now - timedelta(hours=2), late)):
        async with api.store.transaction() as uow:
            state = TopicState(topic="/data/X__chn", mode=DeliveryMode.STREAM, since=begun, limit=limit)
            await deliveries.put_state(uow, "00D", state)
        for page in ("/", "/usage"):
            assert sentence in (await open_page(api, page))[1], page
    assert 'class="series-backfill"' in text
    assert "<form method" not in text


async def test_what_failed_to_be_sent_is_sent_again(api: Api) -> None:
    await placed(api)
    await sign_in(api)
    async with api.store.transaction() as uow:
        request = NotificationRequest(order="W-1", kind=MessageKind.CONFIRMATION, reference="")
        await notifications.capture(uow, [request])
        failed = {"state": MessageState.FAILED.value, "error": "ann@shop.example does not exist"}
        await uow.connection.execute(update(messages).values(failed))
        notices = [NewNotice(type="order.changed", entity="order", key=key, data={}) for key in ("W-1", "W-2")]
        await change_notices.capture(uow, notices)
        await uow.connection.execute(update(notice_table).values(state=NoticeState.FAILED.value, error="410 Gone"))
        uow.publish([PlatformEvent(name="Order_Status__e", order="W-1", id="e1", fields={})])
    async with api.store.transaction() as uow:
        await uow.connection.execute(update(outgoing_table).values(state="refused", error="LIMIT"))
    _, text = await open_page(api, "/usage")
    for part in ("ann@shop.example does not exist", "410 Gone", "order.changed", "LIMIT"):
        assert part in text, part
    number = re.findall(r'name="id" value="(\d+)"', text.split('id="notices"')[1])[0]
    assert "1 notice is sent again." in (await send(api, "/usage/notices/replay", id=number))[1]
    assert "Nothing was left of it" in (await send(api, "/usage/notices/replay", id=number))[1]
    off = "1 notice is sent again. The job webhooks is off in the settings of the service."
    assert off in (await send(api, "/usage/notices/replay", all="yes"))[1]
    assert "1 event is sent again." in (await send(api, "/usage/events/replay"))[1]
    assert (await send(api, "/usage/messages/retry", id="x"))[0] == 422
    async with api.store.reader() as connection:
        count = (await notifications.counts(connection))[MessageState.FAILED]
    assert count > 0
    assert f"{count} message" in (await send(api, "/usage/messages/retry", all="yes"))[1]
    async with api.store.reader() as connection:
        assert (await notifications.counts(connection))[MessageState.FAILED] == 0
        assert (await change_notices.counts(connection))[NoticeState.FAILED] == 0
    api.client.session.cookie_jar.clear()
    await sign_in(api, Role.VIEWER)
    assert "ann@shop.example" not in (await open_page(api, "/usage"))[1]
