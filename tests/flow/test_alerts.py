"""Operators are told once when something begins and once when it is over: by webhook, mail and apprise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook

from connector.errors import SettingsError
from connector.jobs.alerts import AlertReport, AlertSender
from connector.jobs.prune import prune
from connector.model.api_budget import ApiLimit, BudgetState, CallResult
from connector.model.change import EntityKind, Refusal
from connector.model.dead_letter_group import DeadLetterGroup
from connector.model.deliveries import DeliveryMode, TopicState
from connector.model.hourly_counts import hour_of
from connector.model.lane import Lane
from connector.notifications.alert_channels import make_channels
from connector.settings import Settings
from connector.settings.alerts import AlertSettings
from connector.settings.salesforce import OrgSettings
from connector.store import (
    alerts,
    api_calls,
    dead_letters,
    deliveries,
    orgs,
    outages,
    outbox,
)
from connector.store.engine import Store
from connector.store.unit_of_work import UnitOfWork
from tests.conftest import ManualClock
from tests.mail_servers import SECRET, Hook, OddServer, hook, odd_server, smtp_settings
from tests.unit.store.samples import order, place, stock

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # apprise imports it
ORG, TOPIC = "00D000000000001", "/data/Connector__chn"


@pytest.fixture
async def receiver() -> AsyncIterator[Hook]:
    async with hook() as receiver:
        yield receiver


@pytest.fixture
async def mails() -> AsyncIterator[OddServer]:
    async with odd_server() as server:
        yield server


def settings(url: str = "", **more: Any) -> Settings:
    chosen = {"settle_minutes": 5, **more}
    port = chosen.pop("smtp_port", 25)
    posted = {"url": SecretStr(url), "secrets": SecretStr(SECRET)} if url else {}
    return Settings(_env_file=None, alerts=AlertSettings(**posted, **chosen), messages=smtp_settings(port))


def sender(store: Store, chosen: Settings) -> AlertSender:
    return AlertSender(store, chosen, make_channels(chosen, store.clock))


def posted(receiver: Hook) -> list[tuple[str, str, str]]:
    documents = [json.loads(body) for body, _ in receiver.posted]
    return [(item["type"], item["data"]["rule"], item["data"]["subject"]) for item in documents]


async def outage(store: Store) -> None:
    async with store.transaction() as uow:
        await outages.record_failure(uow, code="503", message="It is down.", fix="Wait.", jitter=0)


async def outage_over(store: Store) -> None:
    async with store.transaction() as uow:
        await outages.end(uow)


async def test_outage_is_told_once_by_every_channel_and_its_end_too(
    store: Store, clock: ManualClock, receiver: Hook, mails: OddServer
) -> None:
    clock.time = datetime.now(UTC) - timedelta(minutes=10)  # the independent library accepts no old message
    apprise = receiver.url.replace("http://", "json://")
    chosen = settings(
        receiver.url,
        email_to="ops@shop.example, boss@shop.example",
        apprise_urls=SecretStr(apprise),
        smtp_port=mails.port,
    )
    first, second = sender(store, chosen), sender(store, chosen)
    await outage(store)
    clock.advance(9 * 60)
    assert not await first.run()
    clock.advance(60)
    reports = [await one.run() for one in (first, second, sender(store, chosen))]
    assert [(report.begun, report.sent) for report in reports] == [(1, 4), (0, 0), (0, 0)]
    signed = [(body, headers) for body, headers in receiver.posted if "webhook-id" in headers]
    assert len(receiver.posted) == 2  # the webhook, and apprise
    [(body, headers)] = signed
    document = Webhook(SECRET).verify(body, headers)
    assert (document["type"], document["data"]["text"]) == ("alert.began", "The org accepts nothing: It is down (503).")
    assert [mail.recipients for mail in mails.mails] == [("ops@shop.example",), ("boss@shop.example",)]
    assert mails.messages[0]["Subject"] == "[connector] The org accepts nothing: It is down (503)."

    await outage_over(store)
    assert not await first.run()  # it may come back
    clock.advance(5 * 60)
    assert (await second.run()).sent == 4
    assert not await first.run()
    types = [json.loads(body)["type"] for body, headers in receiver.posted if "webhook-id" in headers]
    assert types == ["alert.began", "alert.ended"]
    assert [str(message["Subject"])[:16] for message in mails.messages[2:]] == ["[connector] Over"] * 2
    async with store.reader() as connection:
        [stored] = await alerts.list_page(connection, limit=9)
        messages = await alerts.list_messages(connection, [stored.id])
    assert stored.ended_at == clock.now()
    assert {(message.channel, message.state) for message in messages} == {
        ("webhook", "sent"), ("email:1", "sent"), ("email:2", "sent"), ("apprise:1", "sent"),
    }  # fmt: skip
    clock.advance(40 * 86400)
    assert (await prune(store, chosen))["alerts"] == 1


async def test_two_processes_at_once_tell_one_alert(store: Store, clock: ManualClock, receiver: Hook) -> None:
    await outage(store)
    clock.advance(3600)
    chosen = settings(receiver.url)
    await asyncio.gather(*(sender(store, chosen)._look(AlertReport()) for _ in range(4)))
    async with store.reader() as connection:
        assert len(await alerts.list_due(connection, clock.now(), 10)) == 1
    await sender(store, chosen).run()
    assert posted(receiver) == [("alert.began", "org_away", "")]


async def test_message_waits_for_a_receiver_that_is_away_and_an_untold_alert_is_not_taken_back(
    store: Store, clock: ManualClock, receiver: Hook
) -> None:
    chosen = settings(receiver.url, settle_minutes=0)
    await outage(store)
    clock.advance(3600)
    receiver.answers.extend([(503, {})] * 2)
    one = sender(store, chosen)
    assert ((await one.run()).failed, (await one.run()).failed) == (1, 0)  # it is sent again after a pause
    clock.advance(90)
    assert (await one.run()).failed == 1
    clock.advance(180)
    assert (await one.run()).sent == 1
    ids = {headers["webhook-id"] for _, headers in receiver.posted}
    assert (len(receiver.posted), len(ids)) == (3, 1)
    await outage_over(store)
    assert (await one.run()).sent == 1

    receiver.posted.clear()
    receiver.answers.append((503, {}))
    await outage(store)
    clock.advance(3600)
    assert (await one.run()).failed == 1
    await outage_over(store)
    assert ((await one.run()).ended, (await one.run()).sent) == (1, 0)
    assert len(receiver.posted) == 1


async def test_receiver_that_refuses_does_not_have_the_others_told_again(
    store: Store, clock: ManualClock, receiver: Hook, mails: OddServer
) -> None:
    chosen = settings(
        email_to="gone@shop.example, ops@shop.example",
        apprise_urls=SecretStr(f"json://127.0.0.1:{mails.port}/ {receiver.url.replace('http://', 'json://')}"),
        smtp_port=mails.port,
        settle_minutes=0,
    )
    one = sender(store, chosen)
    mails.will("RCPT", "550 no such user")
    await outage(store)
    clock.advance(3600)
    for _ in range(3):
        await one.run()
        clock.advance(3600)
    assert [mail.recipients for mail in mails.mails] == [("ops@shop.example",)]
    assert [json.loads(body)["type"] for body, _ in receiver.posted] == ["warning"]
    await outage_over(store)
    assert (await one.run()).sent == 2
    assert [mail.recipients for mail in mails.mails] == [("ops@shop.example",)] * 2
    assert [json.loads(body)["type"] for body, _ in receiver.posted] == ["warning", "success"]
    async with store.reader() as connection:
        [stored] = await alerts.list_page(connection, limit=9)
        messages = await alerts.list_messages(connection, [stored.id])
    failed = {message.channel: message for message in messages if message.state != "sent"}
    assert [(name, item.attempts) for name, item in failed.items()] == [("email:1", 1)]  # apprise:1 is told no more
    assert failed["email:1"].error == (
        "The mail server refused the recipient permanently (550)."
        " Correct address number 1 of CONNECTOR_ALERTS__EMAIL_TO."
    )


async def test_mail_server_that_is_away_is_tried_once_each_time_and_given_up_at_last(
    store: Store, clock: ManualClock, mails: OddServer
) -> None:
    chosen = settings(email_to="ops@shop.example, boss@shop.example", smtp_port=mails.port, settle_minutes=0)
    one = sender(store, chosen)
    mails.will("MAIL", *["550 not from here"] * 24)
    await outage(store)
    clock.advance(3600)
    assert (await one.run()).failed == 1  # the second mail is not tried
    tried = 1
    for _ in range(30):
        clock.advance(2 * 3600)
        tried += (await one.run()).failed
    assert tried == 24  # twelve times each
    await outage_over(store)
    assert (await one.run()).sent == 0  # nobody knows that it began
    assert mails.mails == []


async def test_outage_does_not_end_what_was_told_before_and_explains_what_waits_after_it(
    store: Store, clock: ManualClock, receiver: Hook
) -> None:
    one = sender(store, settings(receiver.url, settle_minutes=5))
    await stock(store)
    await place(store, order())

    async def look(times: int) -> None:
        for _ in range(times):
            clock.advance(5 * 60)
            await one.run()

    await look(6)
    await outage(store)
    await look(3)
    await outage_over(store)
    await look(2)
    waits, away = ("changes_wait", ""), ("org_away", "")
    assert posted(receiver) == [("alert.began", *waits), ("alert.began", *away), ("alert.ended", *away)]

    receiver.posted.clear()
    async with store.transaction() as uow:
        [change] = await due_orders(uow)
        await outbox.refuse(uow, change, Refusal(code="BAD", message="", field=None, source=None, fix=""))
    await look(2)
    assert posted(receiver)[1:] == [("alert.ended", *waits)]
    await outage(store)
    await place(store, order("N-2"))
    await look(7)
    await outage_over(store)
    await look(1)
    assert posted(receiver)[2:] == [("alert.began", *away)]
    await look(2)  # the org has been back for a while, and the change still waits
    assert posted(receiver)[3:] == [("alert.ended", *away), ("alert.began", *waits)]


async def due_orders(uow: UnitOfWork) -> list[Any]:
    return list(
        await outbox.list_due(uow.connection, entity=EntityKind.ORDER, partitions={0}, of=1, now=uow.now, limit=10)
    )


async def test_budget_is_told_when_it_will_run_out_when_lanes_pause_and_when_orders_do(
    store: Store, clock: ManualClock, receiver: Hook
) -> None:
    one = sender(store, settings(receiver.url, settle_minutes=0))
    async with store.transaction() as uow:
        await orgs.put(uow, ORG, login_url="", instance_url="", is_active=True)
        counts = {(hour_of(uow.now), Lane.STATUS, CallResult.ANSWERED): 6000}
        await api_calls.add(uow, ORG, counts)

    async def look(used: int) -> list[tuple[str, str]]:
        receiver.posted.clear()
        async with store.transaction() as uow:
            limit = ApiLimit(used=used, allowed=15000, observed_at=uow.now)
            await api_calls.put_state(uow, ORG, BudgetState(limit=limit))
            await deliveries.put_state(
                uow, ORG, TopicState(topic=TOPIC, mode=DeliveryMode.POLL if used > 7000 else DeliveryMode.STREAM)
            )
        await one.run()
        return [(event, subject) for event, _, subject in posted(receiver)]

    assert await look(6000) == [("alert.began", "forecast")]
    assert await look(13_200) == [("alert.began", TOPIC), ("alert.began", "orders")]
    clock.advance(2 * 3600)  # the rate of the last hour is 0
    assert await look(12_000) == [("alert.ended", "orders"), ("alert.began", "paused")]
    assert await look(13_200) == [("alert.began", "orders")]
    async with store.reader() as connection:
        texts = {alert.subject: alert.text for alert in await alerts.list_current(connection)}
    assert texts["orders"].startswith("New orders wait. Calls of the lanes new, profile and backfill pause, to save ")
    assert texts["paused"].startswith("Calls of the lane backfill pause, to save the API budget: ")
    assert await look(13_200) == []
    assert await look(6000) == [
        ("alert.ended", "forecast"), ("alert.ended", TOPIC), ("alert.ended", "paused"), ("alert.ended", "orders"),
    ]  # fmt: skip


async def test_what_holds_of_another_org_is_told_by_its_name(store: Store, clock: ManualClock, receiver: Hook) -> None:
    chosen = settings(receiver.url, settle_minutes=0).model_copy(update={"orgs": {"emea": OrgSettings()}})
    one, emea = sender(store.for_org(None), chosen), store.for_org("emea")

    async def look(used: int) -> list[tuple[str, str, str]]:
        receiver.posted.clear()
        async with emea.transaction() as uow:
            limit = ApiLimit(used=used, allowed=15000, observed_at=uow.now)
            await api_calls.put_state(uow, "00E", BudgetState(limit=limit))
        await one.run()
        return posted(receiver)

    async with emea.transaction() as uow:
        await orgs.put(uow, "00E", login_url="", instance_url="", is_active=True)
        await api_calls.add(uow, "00E", {(hour_of(uow.now), Lane.STATUS, CallResult.ANSWERED): 6000})
    clock.advance(2 * 3600)
    await outage(emea)
    clock.advance(600)
    assert await look(12_000) == [("alert.began", "org_away", "emea"), ("alert.began", "api_budget", "emea paused")]
    texts = [json.loads(body)["data"]["text"] for body, _ in receiver.posted]
    assert texts[0] == "Org emea: The org accepts nothing: It is down (503)."
    assert texts[1].startswith("Org emea: Calls of the lane")
    assert await look(13_500) == [("alert.began", "api_budget", "emea orders")]
    await outage_over(emea)
    assert await look(100) == [
        ("alert.ended", "org_away", "emea"), ("alert.ended", "api_budget", "emea paused"),
        ("alert.ended", "api_budget", "emea orders"),
    ]  # fmt: skip


async def test_cause_of_dead_letters_that_was_told_is_not_over_when_others_are_more_frequent(
    store: Store, clock: ManualClock, receiver: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, counts = sender(store, settings(receiver.url, settle_minutes=0)), {number: 20 - number for number in range(11)}

    async def group_by_cause(connection: object) -> list[DeadLetterGroup]:
        groups = [
            DeadLetterGroup(
                fingerprint=f"cause-{number}", entity=EntityKind.ORDER, code="BAD", field=None, source=None,
                count=count, first_refused_at=clock.now(), last_refused_at=clock.now(), keys=("N-1",), message="",
                fix="",
            )
            for number, count in counts.items()
        ]  # fmt: skip
        return sorted(groups, key=lambda group: -group.count)

    monkeypatch.setattr(dead_letters, "group_by_cause", group_by_cause)
    await one.run()
    assert [subject for _, _, subject in posted(receiver)] == [f"cause-{number}" for number in range(10)] + ["others"]
    receiver.posted.clear()
    counts[10] = 99
    await one.run()
    assert posted(receiver) == []
    del counts[3]
    await one.run()
    assert [(event, subject) for event, _, subject in posted(receiver)] == [
        ("alert.ended", "cause-3"), ("alert.ended", "others"), ("alert.began", "cause-10"),
    ]  # fmt: skip


async def test_address_that_apprise_does_not_know_is_named_by_its_number(store: Store) -> None:
    chosen = settings(apprise_urls=SecretStr("json://localhost nonsense://secret"))
    with pytest.raises(SettingsError, match="the address number 2") as caught:
        make_channels(chosen, store.clock)
    assert "secret" not in str(caught.value)
