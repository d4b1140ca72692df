"""How the orgs besides the default one are, for reports about the default one: what waits, an outage, paused lanes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from connector.model.api_budget import BudgetPolicy
from connector.model.change import ChangeState
from connector.store import api_calls, orgs, outages, outbox_counts
from connector.store.engine import Store
from connector.store.outages import Outage
from connector.store.scope import DEFAULT
from connector.wording import plural


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherOrg:
    """`org_id` is None before the first sign-in. `changes` wait to be sent, and `dead_letters` for a person. Lanes are
    `paused` to save the API budget."""

    name: str
    org_id: str | None
    changes: int
    dead_letters: int
    outage: Outage | None
    paused: tuple[str, ...]

    @property
    def is_quiet(self) -> bool:
        """Whether everything is sent, and nothing is in the way."""
        return not (self.changes or self.dead_letters or self.outage or self.paused or self.org_id is None)


async def load_other_orgs(store: Store, policy: BudgetPolicy, *, configured: Iterable[str] = ()) -> list[OtherOrg]:
    """The other orgs by name: those that the database knows, and those that are `configured`."""
    async with store.reader() as connection:
        known = [*await orgs.list_named(connection), *await outbox_counts.list_orgs(connection)]
    return [await _load(store, name, policy) for name in sorted({*known, *configured} - {DEFAULT})]


async def _load(store: Store, name: str, policy: BudgetPolicy) -> OtherOrg:
    async with store.for_org(name).reader() as connection:
        org = await orgs.get_active(connection)
        unsent = await outbox_counts.counts(connection)
        usage = None if org is None else await api_calls.usage(connection, org.org_id, store.clock.now(), policy)
        return OtherOrg(
            name=name,
            org_id=None if org is None else org.org_id,
            changes=sum(states[ChangeState.DUE] for states in unsent.values()),
            dead_letters=sum(states[ChangeState.DEAD] for states in unsent.values()),
            outage=await outages.get_current(connection),
            paused=() if usage is None else tuple(lane.word for lane in usage.paused),
        )


def describe_other_org(org: OtherOrg) -> str:
    """One sentence for a person."""
    parts = [f"no org of that name has answered yet at CONNECTOR_ORGS__{org.name.upper()}__LOGIN_URL"]
    if org.org_id is not None:
        parts = [plural(org.changes, "change") + " to be sent", plural(org.dead_letters, "dead letter")]
    if org.outage is not None:
        parts.append(f"it has accepted nothing since {_moment(org.outage.since)} ({org.outage.code})")
    if org.paused:
        parts.append(f"calls of the lanes {', '.join(org.paused)} pause to save the API budget")
    return f"Org {org.name}: {'; '.join(parts)}."


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
