"""Change notices: captured with what was applied from the org, signed, posted until they are accepted, in order."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import httpx2
import pytest
import respx
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from connector.jobs import send_webhooks
from connector.jobs.prune import prune
from connector.jobs.send_webhooks import NoticeSender, WebhookReport
from connector.model.change_notice import ChangeNotice, NewNotice, NoticeState
from connector.model.stage import Stage
from connector.service import running_service
from connector.settings import Settings
from connector.settings.webhooks import WebhookSettings
from connector.store import change_notices, leases
from connector.store.engine import Store
from tests.flow.adoption_steps import add_line, record_of
from tests.flow.conftest import World, settings_for
from tests.flow.test_pull import NUMBER, begin
from tests.flow.test_push import an_order
from tests.mail_servers import hook

URL = "https://erp.example/hooks/crm"
OLD, NEW = (f"whsec_{b64encode(bytes([number]) * 32).decode()}" for number in (1, 2))


def webhook_settings(url: str = URL, secrets: str = NEW, **more: Any) -> WebhookSettings:
    return WebhookSettings(url=SecretStr(url), secrets=SecretStr(secrets), **more)


def settings(**more: Any) -> Settings:
    return Settings(_env_file=None, webhooks=webhook_settings(**more))


async def capture(store: Store, *keys: str) -> None:
    notices = [NewNotice(type="order.updated", entity="order", key=key, data={"key": key}) for key in keys]
    async with store.transaction() as uow:
        await change_notices.capture(uow, notices)


async def outbox(store: Store) -> list[ChangeNotice]:
    async with store.reader() as connection:
        return await change_notices.list_page(connection)


async def states(store: Store) -> list[NoticeState]:
    return [notice.state for notice in await outbox(store)]


def posted_keys(route: respx.Route) -> list[str]:
    return [json.loads(call.request.content)["data"]["key"] for call in route.calls]


def posted_ids(route: respx.Route) -> list[str]:
    return [call.request.headers["webhook-id"] for call in route.calls]


async def test_notice_verifies_with_the_new_secret_and_with_the_old_one(
    store: Store, clock: Any, httpx2_mock: respx.Router
) -> None:
    clock.time = datetime.now(UTC)  # the independent library accepts no old message
    route = httpx2_mock.post(URL).respond(204)
    await capture(store, "N-1")

    assert await NoticeSender(store, settings(secrets=f"{NEW}, {OLD}")).send() == WebhookReport(sent=1)

    [request] = [call.request for call in route.calls]
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(request.content, dict(request.headers))["type"] == "order.updated"
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW).verify(request.content + b" ", dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(f"whsec_{b64encode(b'3' * 32).decode()}").verify(request.content, dict(request.headers))


async def test_notices_of_one_order_stay_in_order_and_a_postponed_one_delays_no_other(
    store: Store, clock: Any, httpx2_mock: respx.Router
) -> None:
    failing = {"N-1"}

    def answer(request: httpx2.Request) -> httpx.Response:
        return httpx.Response(500 if json.loads(request.content)["data"]["key"] in failing else 200)

    route = httpx2_mock.post(URL).mock(side_effect=answer)
    await capture(store, "N-1", "N-2", "N-1", "N-2")
    sender = NoticeSender(store, settings())

    assert await sender.send() == WebhookReport(sent=2, postponed=1)
    assert posted_keys(route) == ["N-1", "N-2", "N-2"]
    assert not await sender.send()  # the second notice of N-1 waits for the first one
    failing.clear()
    clock.advance(send_webhooks.FIRST_WAIT * 1.25)
    assert await sender.send() == WebhookReport(sent=2)

    ids = posted_ids(route)
    assert (ids[0], len(set(ids))) == (ids[3], 4)
    assert await states(store) == [NoticeState.SENT] * 4


async def test_endpoint_that_fails_is_left_alone_for_a_while_and_nothing_is_lost(
    store: Store, clock: Any, httpx2_mock: respx.Router
) -> None:
    route = httpx2_mock.post(URL)
    # No other address is mocked: a redirect that is followed fails the test.
    answers: list[Callable[[], Any]] = [
        lambda: httpx2.ConnectError("refused"),
        lambda: httpx.Response(302, headers={"Location": "https://elsewhere.example/"}),
        lambda: httpx.Response(410),
        lambda: httpx.Response(503, headers={"Retry-After": "600"}),
        lambda: httpx2.ReadTimeout("late"),
    ]
    await capture(store, "N-1", "N-2")
    sender = NoticeSender(store, settings())
    for answer in answers:
        route.mock(side_effect=[answer(), answer()])
        before = route.call_count

        report = await sender.send()

        assert (report.sent, report.failed) == (0, 0)
        assert report.stopped is not None
        after = route.call_count
        assert 1 <= after - before <= 2
        assert not await sender.send()  # it pauses
        assert route.call_count == after
        clock.advance(send_webhooks.LONGEST_WAIT * 1.25)
    route.respond(200)
    assert (await sender.send()).sent == 2


async def test_refused_or_old_notice_fails_and_can_be_sent_again(
    store: Store, clock: Any, httpx2_mock: respx.Router
) -> None:
    route = httpx2_mock.post(URL)
    route.side_effect = [httpx.Response(422), httpx.Response(500), httpx.Response(200), httpx.Response(200)]
    await capture(store, "N-1", "N-2")
    sender = NoticeSender(store, settings(expire_hours=1))
    await sender.send()
    clock.advance(3601)
    await capture(store, "N-3")

    await sender.send(at_once=True)

    [refused, old, sent] = await outbox(store)
    assert (refused.state, refused.error) == (
        NoticeState.FAILED,
        "The webhook refused the message permanently (HTTP 422).",
    )
    assert old.state is NoticeState.FAILED
    assert (old.error or "").startswith("It was not accepted within 1 hours. The webhook did not accept")
    assert sent.state is NoticeState.SENT
    async with store.transaction() as uow:
        again = await change_notices.make_due(uow, state=NoticeState.FAILED)
    assert again == [refused.id, old.id]
    route.mock(side_effect=None, return_value=httpx.Response(200))
    assert (await sender.send(at_once=True)).sent == 2
    assert posted_ids(route)[-2:] == [refused.message_id, old.message_id]
    clock.advance(8 * 86400)
    await capture(store, "N-4")
    await prune(store, settings())
    assert [item.key for item in await outbox(store)] == ["N-4"]  # the others were sent a week ago


async def test_process_that_stops_between_post_and_record_sends_the_same_message_again(
    store: Store, clock: Any, httpx2_mock: respx.Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = httpx2_mock.post(URL).respond(200)
    await capture(store, "N-1")

    async def stop(*_: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(change_notices, "settle", stop)
        patch.setattr(leases, "release", stop)  # a process that dies releases nothing
        with pytest.raises(asyncio.CancelledError):
            await NoticeSender(store, settings()).send()
    another = NoticeSender(store, settings())
    assert not await another.send()  # the lease is not over
    clock.advance(120)
    assert (await another.send()).sent == 1
    assert len(set(posted_ids(route))) == 1
    assert route.call_count == 2


async def test_sender_that_lost_its_lease_records_nothing(store: Store, clock: Any, httpx2_mock: respx.Router) -> None:
    async def freeze(_: httpx2.Request) -> httpx.Response:
        clock.advance(3600)  # this process stood still, and another one has taken over
        assert await leases.acquire(store, send_webhooks.LEASE, "another", 60)
        return httpx.Response(400)

    httpx2_mock.post(URL).mock(side_effect=freeze)
    await capture(store, "N-1")
    await NoticeSender(store, settings()).send()
    assert await states(store) == [NoticeState.DUE]


async def test_what_is_applied_from_the_org_is_posted_without_values_unless_asked_for(world: World) -> None:
    await begin(world)
    secret_text = "call her at home"
    for include_values in (False, True):
        async with hook() as receiver:
            base = settings_for(world.org, world.service.settings.database_url)
            update = {"webhooks": webhook_settings(receiver.url, include_values=include_values)}
            async with running_service(base.model_copy(update=update)) as service:
                await world.change_in_org("Order", NUMBER, Description=f"{secret_text} {include_values}")
                await world.change_in_org("Account", "C-1", Phone=f"+49 {include_values:d}")
                await service.pull()
                sender = service.notice_sender()
                assert sender is not None
                assert (await sender.send()).sent == 2
                assert not await sender.send()
        bodies = {body["type"]: body["data"] for body in (json.loads(content) for content, _ in receiver.posted)}
        assert bodies["order.updated"]["key"] == NUMBER
        assert bodies["order.updated"]["fields"] == ["Description"]
        assert bodies["customer.updated"]["fields"] == ["Phone"]
        assert (secret_text in str(bodies)) is include_values
    async with world.service.store.reader() as connection:
        assert len(await change_notices.list_page(connection)) == 4
    await world.change_in_org("Order", NUMBER, Description="not told")
    await world.service.pull()  # without an address, nothing is stored
    async with world.service.store.reader() as connection:
        assert len(await change_notices.list_page(connection)) == 4


async def test_lines_that_reps_add_and_delete_are_told_as_lines_of_their_order(world: World) -> None:
    await begin(world, an_order(NUMBER, stage=Stage.PLACED))
    added = await add_line(world, await record_of(world, "Order", NUMBER), "P-3", 4, "34.85")
    await world.change_in_org("OrderItem", f"{NUMBER}-1", Quantity=7)
    [outcome] = world.org.org.dml.delete([await record_of(world, "OrderItem", f"{NUMBER}-2")])
    assert outcome.error is None
    settings = world.service.settings.model_copy(update={"webhooks": webhook_settings(include_values=True)})
    async with running_service(settings) as service:
        await service.pull()
    bodies = [json.loads(notice.body) for notice in await outbox(world.service.store)]
    told = {body["type"]: body["data"] for body in bodies}
    assert told.keys() == {"order.line_added", "order.updated", "order.line_deleted"}
    assert {data["key"] for data in told.values()} == {NUMBER}
    line = told["order.line_added"]
    assert (line["line"], line["record"], line["object"]) == (f"{NUMBER}-3", added, "OrderItem")
    assert line["fields"] == ["Product2Id", "Quantity", "UnitPrice"]
    assert (line["values"]["Quantity"], line["values"]["UnitPrice"]) == ("4.0", "34.85")
    assert (told["order.updated"]["line"], told["order.updated"]["fields"]) == (f"{NUMBER}-1", ["Quantity"])
    assert (told["order.line_deleted"]["line"], told["order.line_deleted"]["done"]) == (f"{NUMBER}-2", "recreated")


async def test_odd_answer_or_a_fault_of_ours_concerns_one_notice_only(
    store: Store, httpx2_mock: respx.Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {"Retry-After": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}

    def answer(request: httpx2.Request) -> httpx.Response:
        match json.loads(request.content)["data"]["key"]:
            case "N-1":
                return httpx.Response(503, headers=odd)
            case "N-2":
                raise KeyError("a fault of ours")
        return httpx.Response(200)

    route = httpx2_mock.post(URL).mock(side_effect=answer)
    await capture(store, "N-1", "N-2", "N-3")
    sender = NoticeSender(store, settings())

    assert await sender.send() == WebhookReport(sent=1, postponed=2)
    assert not await sender.send()
    assert sorted(posted_keys(route)).count("N-3") == 1
