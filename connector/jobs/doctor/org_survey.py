"""Asks the org everything that the checks need: one sign-in, at most four API calls, and one look at each topic.

Nothing is changed in the org, and nothing is stored here. Each question may fail for itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from connector.clock import Clock
from connector.errors import SalesforceError, TransportError
from connector.model.platform_event import ORDER_ACTION, topic_of
from connector.outbound.org_discovery import OrgAnswers, Rows, ask_org
from connector.salesforce.address import has_pubsub
from connector.salesforce.auth import Token
from connector.salesforce.client import SalesforceClient
from connector.salesforce.query import query_path, read_page, soql
from connector.salesforce.server_time import sent_at
from connector.salesforce.transport import HttpResponse
from connector.settings import Settings

SECONDS = 40.0
"""How long all questions may take together."""
LONGEST_CALL = 20.0
EVENT_QUERY = "SELECT DeveloperName, SelectedEntity, FilterExpression FROM PlatformEventChannelMember"
ENTRIES = "SELECT Id FROM PricebookEntry WHERE Pricebook2.IsStandard = true AND IsActive = true LIMIT 1"

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgLimits:
    """The org's limits as it answers them, and when it did so by its clock and by ours; None: a proxy removed it."""

    limits: Mapping[str, Any]
    org_time: datetime | None
    our_time: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OrgSurvey:
    """What the org answered; an error in place of what it did not. `topics`: why each cannot be subscribed to, or None;
    empty if the Pub/Sub API has no address. The queries of `answers.others` are those of the user, of its permission
    sets, and of an entry of the standard price book."""

    token: Token
    answers: OrgAnswers | SalesforceError
    limits: OrgLimits | SalesforceError
    channel_members: Rows | SalesforceError
    topics: Mapping[str, SalesforceError | None]
    api_calls: int


async def survey_org(
    client: SalesforceClient, settings: Settings, clock: Clock, *, extra_sobjects: tuple[str, ...]
) -> OrgSurvey:
    """Ask the org. Raises AuthError or TransportError if it lets nobody in."""
    deadline = asyncio.get_running_loop().time() + SECONDS
    token = await _within(deadline, client.tokens.token())
    queries = (
        soql("SELECT Username, Name FROM User WHERE Id = {user}", user=token.user_id),
        soql("SELECT PermissionSet.Name FROM PermissionSetAssignment WHERE AssigneeId = {user}", user=token.user_id),
        ENTRIES,
    )
    answers = await _attempt(deadline, ask_org(client, extra_sobjects, queries))

    def read_limits(response: HttpResponse) -> OrgLimits:
        return OrgLimits(limits=dict(response.json()), org_time=sent_at(response), our_time=clock.now())

    limits = await _attempt(deadline, client.get("limits", read=read_limits))
    members: Rows | SalesforceError = []
    topics: dict[str, SalesforceError | None] = {}
    if settings.inbound.listen:
        path = f"tooling/{query_path(EVENT_QUERY)}"
        members = await _attempt(deadline, client.get(path, read=lambda response: read_page(response.json())[0]))
        if has_pubsub(settings.salesforce):
            topics = await _look_at_topics(client, settings, deadline)
    return OrgSurvey(
        token=token,
        answers=answers,
        limits=limits,
        channel_members=members,
        topics=topics,
        api_calls=sum(client.calls_made),
    )


async def _look_at_topics(
    client: SalesforceClient, settings: Settings, deadline: float
) -> dict[str, SalesforceError | None]:
    from connector.salesforce.pubsub.subscription import PubSubClient  # it brings gRPC along

    names = [settings.inbound.topic, *([topic_of(ORDER_ACTION)] if settings.events.actions else [])]
    async with PubSubClient(settings.salesforce.pubsub_endpoint, client.tokens) as pubsub:
        return {name: await _attempt(deadline, pubsub.check_topic(name)) for name in names}


async def _attempt(deadline: float, work: Awaitable[T]) -> T | SalesforceError:
    try:
        return await _within(deadline, work)
    except SalesforceError as error:
        return error


async def _within(deadline: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout_at(deadline):
            return await work
    except TimeoutError:
        raise TransportError(
            f"The org has not answered within {SECONDS:g} s.", hint="Try again; `connector status` shows an outage."
        ) from None
