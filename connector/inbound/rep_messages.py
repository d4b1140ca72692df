"""What reps are told on the record: which change was not taken over, and why.

A message is about one changed record (an account, an order, a line) and stands on the account or order. What was
refused is told until a later change of the order is taken; what is parked, until it is applied. A message is stored
here and sent with whatever the next push sends of the record; nothing is stored if the object has no such field.
Why an order forbids a change is said by `model.order_edits` and the other rules of orders (CommandError).
"""

from __future__ import annotations

from collections.abc import Mapping

from connector.inbound.batch_writes import BatchWrites
from connector.inbound.loaded_state import LoadedState
from connector.mapping.backward import UnreadableValueError
from connector.model.describe import SObjectDescribe
from connector.model.inbound_change import RemoteRecord
from connector.model.record import SYNC_MESSAGE, Link
from connector.model.sync_message import MessageCause, SyncMessage
from connector.store import sync_messages
from connector.store.unit_of_work import UnitOfWork


class RepMessages:
    """The messages of one transaction."""

    def __init__(self, describes: Mapping[str, SObjectDescribe], state: LoadedState, writes: BatchWrites) -> None:
        self._describes = describes
        self._state = state
        self._writes = writes
        self._told: dict[tuple[str, str], SyncMessage] = {}
        self._settled: dict[tuple[str, str], SyncMessage] = {}

    def tell_refused(self, record: RemoteRecord, link: Link, reasons: Mapping[str, str]) -> None:
        """Our values were restored in these fields, each for its reason."""
        by_reason: dict[str, list[str]] = {}
        for name, reason in reasons.items():
            by_reason.setdefault(reason, []).append(self._label(record.sobject, name))
        line = f"Line {link.key.rpartition('-')[2]}: " if link.is_part else ""
        sentences = [
            f"{line}{' and '.join(labels)} {'was' if len(labels) == 1 else 'were'} set back. {reason}"
            for reason, labels in by_reason.items()
        ]
        self._tell(record, self._state.main_link(link), MessageCause.REFUSED, " ".join(sentences))

    def tell_removed(self, record: RemoteRecord, order_link: Link, reason: str) -> None:
        """A line that a rep added is removed."""
        self._tell(record, order_link, MessageCause.REFUSED, f"An added line was removed. {reason}")

    def tell_parked(self, record: RemoteRecord, link: Link | None, text: str) -> None:
        """The record waits for a person."""
        self._tell(record, link, MessageCause.PARKED, text)

    def tell_unreadable(self, record: RemoteRecord, link: Link | None, error: UnreadableValueError) -> None:
        """A value cannot be taken; whether it can be allowed is for the admin of the connector, not for the rep."""
        advice = " Correct it, or ask the admin of the connector to allow it." if error.fix else ""
        self.tell_parked(record, link, f"A change was not taken over: {error}.{advice}")

    def settle(self, record: RemoteRecord, link: Link | None, *, taken: bool) -> None:
        """The record was applied; `taken`: something of it has changed an entity here."""
        main = None if link is None else self._state.main_link(link)
        for item in self._state.messages:
            is_own = item.source_id == record.id and item.cause is MessageCause.PARKED
            is_past = taken and main is not None and item.record_id == main.salesforce_id
            is_past = is_past and (item.told_at is None or item.told_at < record.read_at)
            if is_own or (is_past and item.cause is MessageCause.REFUSED):
                self._settled[item.record_id, item.source_id] = item

    def _tell(self, record: RemoteRecord, link: Link | None, cause: MessageCause, text: str) -> None:
        describe = None if link is None else self._describes.get(link.sobject)
        if link is None or describe is None or SYNC_MESSAGE not in describe.fields:
            return
        message = SyncMessage(record_id=link.salesforce_id, source_id=record.id, cause=cause, text=text)
        self._told[message.record_id, message.source_id] = message

    def _label(self, sobject: str, name: str) -> str:
        describe = self._describes.get(sobject)
        field = None if describe is None else describe.fields.get(name)
        return name if field is None else field.label

    async def store(self, uow: UnitOfWork, org_id: str) -> None:
        """Write the messages, and make the records due whose text has changed."""
        before = {(item.record_id, item.source_id): item for item in self._state.messages}
        told = {name: item for name, item in self._told.items() if before.get(name) != item}
        settled = {name: item for name, item in self._settled.items() if name not in self._told}
        await sync_messages.put(uow, org_id, [*told.values()])
        await sync_messages.drop(uow, org_id, [*settled.values()])
        for record_id in {item.record_id for item in (*told.values(), *settled.values())}:
            link = self._state.link_of_record(record_id)
            owner = None if link is None else self._state.owner(link)
            if link is not None and owner is not None:
                self._writes.make_due(link, owner)
