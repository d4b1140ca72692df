"""Notes in the inbox which records without a link may be, or belong to, an order that is to be adopted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from connector.inbound.adoption.rule import LINE, ORDER, AdoptionRule
from connector.model.inbound_change import InboxState, RemoteRecord, Source
from connector.model.record import SYNC_MESSAGE
from connector.store import inbox
from connector.store.unit_of_work import UnitOfWork

_CLEARING_PAUSE = timedelta(seconds=5)
"""How long to wait until the message on an order is cleared again, the first time."""


async def note_unlinked(uow: UnitOfWork, org_id: str, rule: AdoptionRule, records: Sequence[RemoteRecord]) -> None:
    """A candidate becomes due. An order that is none any more leaves the inbox, once the org's record no longer says
    why it was parked. A parked order of which a line has changed is due again."""
    candidates = [record for record in records if rule.is_candidate(record)]
    due = {(record.sobject, record.id) for record in candidates}
    own = {record.id: record for record in records if record.sobject == ORDER}
    lines = [record for record in records if record.sobject == LINE and "OrderId" in record.fields]
    parents = {str(line.fields["OrderId"]) for line in lines}
    if own or parents:
        waiting = await inbox.find(uow.connection, org_id, ORDER, sorted({*own, *parents}))
        past = {record for record in own if record in waiting and (ORDER, record) not in due}
        told = {record for record in past if own[record].fields.get(SYNC_MESSAGE) and not own[record].deleted}
        await inbox.drop(uow, org_id, [(ORDER, record) for record in past - told])
        # A row that is due has just been read, and its message cleared: it is read again, to see whether that worked.
        cleared = [(ORDER, record) for record in told if waiting[record].state is InboxState.DUE]
        pause = {ref: _CLEARING_PAUSE if waiting[ref[1]].attempts else timedelta() for ref in cleared}
        for seconds in set(pause.values()):
            await inbox.retry(uow, org_id, [ref for ref in cleared if pause[ref] == seconds], pause=seconds)
        due |= {(ORDER, record) for record in told | ({*parents} & {*waiting}) - own.keys()} - {*cleared}
    await inbox.put(uow, org_id, due, Source.POLL)
