"""Checks of our events, and of the channel by which changes come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connector.errors import SalesforceError
from connector.jobs.doctor.org_survey import OrgSurvey
from connector.model.describe import SObjectDescribe
from connector.model.health_check import HealthCheck, failed, passed, skipped, warned
from connector.model.platform_event import ORDER_ACTION, ORDER_ACTION_RESULT, ORDER_STATUS
from connector.settings import Settings

EVENTS, CHANNEL, TOPICS = "events", "channel", "topics"
OUR_TOPIC = "/data/Connector__chn"
MEMBER_PREFIX = "Connector_chn_"
MEMBERS = ("AccountChangeEvent", "OrderChangeEvent", "OrderItemChangeEvent")
"""What our channel delivers, as `connector org deploy` puts it into the org."""
_DEPLOY = "`connector org deploy` puts it there."


def needed_events(settings: Settings) -> dict[str, bool]:
    """Our events by name, and whether we publish them."""
    events = settings.events
    if not settings.inbound.listen:
        return {}
    actions = {ORDER_ACTION: False, ORDER_ACTION_RESULT: True} if events.actions else {}
    return actions | ({ORDER_STATUS: True} if events.order_status else {})


def check_events(describes: Mapping[str, SObjectDescribe], settings: Settings) -> HealthCheck:
    needed = needed_events(settings)
    if not needed:
        return skipped(EVENTS, "Our events are off (CONNECTOR_INBOUND__LISTEN, CONNECTOR_EVENTS__*).")
    if missing := [name for name in needed if name not in describes]:
        text = f"The org has no {', '.join(missing)}, or our user may not see {'it' if len(missing) == 1 else 'them'}."
        return failed(EVENTS, text, "`connector org deploy` deploys our events, and lets our user see them.")
    if silent := [name for name, published in needed.items() if published and not describes[name].createable]:
        fix = "Give it the permission to create them; the permission set CRM_Connector does."
        return failed(EVENTS, f"Our user may not publish {', '.join(silent)}.", fix)
    return passed(EVENTS, f"The org has {', '.join(needed)}, and our user may use them.")


def check_channel(survey: OrgSurvey, settings: Settings) -> HealthCheck:
    """Whether our channel has all members, and leaves out the changes that we make ourselves."""
    if not settings.inbound.listen:
        return skipped(CHANNEL, "Listening is off (CONNECTOR_INBOUND__LISTEN).")
    topic = settings.inbound.topic
    if topic != OUR_TOPIC:
        return skipped(CHANNEL, f"Changes come by {topic} (CONNECTOR_INBOUND__TOPIC), which is not our channel.")
    if isinstance(survey.channel_members, SalesforceError):
        error = survey.channel_members
        return skipped(CHANNEL, f"The org does not show the members of channels to our user: {error.message}")
    ours = [row for row in survey.channel_members if str(row.get("DeveloperName") or "").startswith(MEMBER_PREFIX)]
    names = {str(row["DeveloperName"]).removeprefix(MEMBER_PREFIX) for row in ours}
    if missing := [name for name in MEMBERS if name not in names]:
        text = f"The channel of {topic} does not deliver {', '.join(missing)}, so such changes come by polls only."
        return failed(CHANNEL, text, _DEPLOY)
    unfiltered = _unfiltered(ours, survey.token.user_id)
    if unfiltered:
        text = f"{', '.join(unfiltered)} of the channel deliver our own changes, which count as deliveries."
        return warned(CHANNEL, text, "`connector org deploy` filters the changes of our user out.")
    return passed(CHANNEL, f"The channel of {topic} has all {len(MEMBERS)} members, and leaves out our own changes.")


def check_topics(survey: OrgSurvey, settings: Settings) -> HealthCheck:
    """Whether the Pub/Sub API lets our user subscribe."""
    if not settings.inbound.listen:
        return skipped(TOPICS, "Listening is off (CONNECTOR_INBOUND__LISTEN).")
    if not survey.topics:
        return skipped(TOPICS, "The Pub/Sub API has no address (CONNECTOR_SALESFORCE__PUBSUB_ENDPOINT).")
    errors = {topic: error for topic, error in survey.topics.items() if error is not None}
    if not errors:
        return passed(TOPICS, f"Our user may subscribe to {', '.join(survey.topics)} in the Pub/Sub API.")
    first = next(iter(errors.values()))
    text = f"The Pub/Sub API does not let our user subscribe to {', '.join(errors)}."
    return failed(TOPICS, text, first.hint, [error.message for error in errors.values()])


def _unfiltered(members: Sequence[Mapping[str, Any]], user_id: str) -> list[str]:
    return [str(row["DeveloperName"]) for row in members if user_id[:15] not in str(row.get("FilterExpression") or "")]
