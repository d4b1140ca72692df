"""What a transaction on records of the org is going to write: changes, links, conflicts, the inbox, the journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from connector.inbound.context import ApplyReport, InboundContext
from connector.inbound.merge import FieldVersions
from connector.inbound.notices import make_notice
from connector.model.change import EntityKind
from connector.model.change_notice import NewNotice
from connector.model.conflict import Conflict, ConflictState
from connector.model.customer import Customer
from connector.model.events import ChangeOrder, Event, LineEdit
from connector.model.field_notes import MergedField
from connector.model.inbound_change import RemoteRecord, Source
from connector.model.lane import Lane
from connector.model.observed_value import ObservedValues
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.product import Product
from connector.model.record import Link
from connector.model.record_change import Effect, RecordChange
from connector.orders.command import OrderCommand
from connector.store import change_notices, conflicts, customers, inbox, journal, links, products, restored_fields
from connector.store.journal import JournalEntry
from connector.store.partitions import slot_of, slot_of_key
from connector.store.restored_fields import Restored
from connector.store.unit_of_work import UnitOfWork

ACTOR = "salesforce"
MOST_NAMED_USERS = 5
FIX = "Correct the value in the org or the mapping, then `connector inbox replay`."


def actor_of(authors: Iterable[str | None]) -> str:
    """Who stands in the history: the users of the org, by ID; not many, as a page may have been changed by hundreds."""
    users = sorted({user for user in authors if user})
    more = f" and {len(users) - MOST_NAMED_USERS} more" if len(users) > MOST_NAMED_USERS else ""
    return f"{ACTOR} {', '.join(users[:MOST_NAMED_USERS])}{more}".rstrip()


@dataclass(kw_only=True)
class _LineEdits:
    """What one command changes in the lines of an order. `index`: which one of the commands."""

    index: int
    by_line: dict[int, LineEdit] = field(default_factory=dict)
    authors: list[str | None] = field(default_factory=list)


class BatchWrites:
    """Collects what is to be written, and what the report says of it. `store` writes all but the `commands`."""

    def __init__(self, uow: UnitOfWork, context: InboundContext) -> None:
        self._uow = uow
        self._org_id = context.org_id
        self._webhooks = context.webhooks
        self._explains = context.explain
        self._personal = context.mappings.personal
        self.report = ApplyReport()
        self.commands: list[OrderCommand] = []
        self.conflicts: list[Conflict] = []
        self.settled: list[int] = []
        """Conflicts that both sides have ended."""
        self._record: RemoteRecord | None = None
        self._line_edits: dict[str, _LineEdits] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._locked: dict[tuple[str, str], Customer | Product] = {}
        """Those of the saved entities, as they were before."""
        self._saved: dict[tuple[str, str], Any] = {}
        self._restored: dict[str, dict[tuple[str, str], Restored]] = {}
        self._entries: list[JournalEntry] = []
        self._deferred: list[tuple[RemoteRecord, timedelta]] = []
        self._observed: dict[tuple[str, str], ObservedValues] = {}
        self._parked: list[tuple[RemoteRecord, str, str]] = []
        self._notices: list[NewNotice] = []

    def begin_record(self, record: RemoteRecord) -> None:
        """What follows is because of this record, and stands in histories as done by its author."""
        self.report.records += 1
        self._record = record

    def command(self, number: str, event: Event) -> None:
        """Ask this of an order."""
        author = None if self._record is None else actor_of([self._record.author])
        self.commands.append(OrderCommand(number=number, event=event, author=author))

    def change(self, entity: Customer | Product | Order, patch: Mapping[str, Any]) -> None:
        """Give an entity, which is locked, new values, by attribute."""
        if isinstance(entity, Order):
            self.command(entity.number, ChangeOrder(details=dict(patch)))
            return
        kind = EntityKind.CUSTOMER if isinstance(entity, Customer) else EntityKind.PRODUCT
        self._locked.setdefault((kind.value, entity.key), entity)
        before = self._saved.get((kind.value, entity.key), entity)
        after = before.updated_from_order(**patch) if isinstance(before, Customer) else replace(before, **patch)
        self._saved[kind.value, entity.key] = after

    def edit_line(self, order: str, number: int, edit: LineEdit) -> None:
        """Give a line of an order new values, or add it; all lines of an order by one command."""
        edits = self._line_edits.get(order)
        if edits is None:
            edits = self._line_edits[order] = _LineEdits(index=len(self.commands))
            self.command(order, ChangeOrder(line_edits=edits.by_line))
        edits.by_line[number] = edit
        if self._record is not None:
            edits.authors.append(self._record.author)
            self.commands[edits.index] = replace(self.commands[edits.index], author=actor_of(edits.authors))

    def put_link(self, link: Link) -> None:
        self._links[link.entity, link.key] = link

    def make_due(self, link: Link, owner: Any, *, unconfirmed: bool = False) -> None:
        """The next push compares the entity with its snapshot, which says what the org holds, and sends what differs.
        `unconfirmed`: it reads what the org holds first."""
        kind, key = link.owner
        slot = slot_of_key(key) if owner is None else slot_of(owner)
        lane = Lane.STATUS if isinstance(owner, Order | OrderReturn) else Lane.PROFILE
        self._uow.changed(EntityKind(kind), key, slot, lane, unconfirmed=unconfirmed)

    def restore(self, link: Link, versions: FieldVersions, before: Restored | None) -> None:
        """Remember that a field is restored in the org; `before` is what was restored of it last."""
        repeated = before is not None and (before.local, before.remote) == (versions.local, versions.remote)
        times = before.times + 1 if before is not None and repeated else 1
        restored = Restored(versions.local, versions.remote, times)
        self._restored.setdefault(link.entity, {})[link.key, versions.name] = restored

    def defer(
        self, record: RemoteRecord, link: Link | None, pause: timedelta, observed: ObservedValues | None = None
    ) -> None:
        """Read the record again after `pause`; `link` says what it belongs to, `observed` are values that stand in it
        now."""
        self.report.deferred += 1
        self.explain(Effect.READ_AGAIN, record, link, why="our latest write came after it was read")
        self._deferred.append((record, pause))
        if observed:
            self._observed[record.sobject, record.id] = observed

    def park(self, record: RemoteRecord, error: str, fix: str = FIX, *, link: Link | None = None) -> None:
        """The record waits for a person; `link` says what it belongs to."""
        self.explain(Effect.PARKED, record, link, why=error, fix=fix)
        self._parked.append((record, error, fix))
        self.report.parked += 1

    def journal(
        self,
        owner: tuple[str, str],
        action: str,
        detail: Mapping[str, Any],
        *,
        actor: str | None = None,
        merged: Sequence[MergedField] = (),
    ) -> None:
        """`actor`: the operator who did it, if it was one; `merged`: the fields that it concerns."""
        kind, key = owner
        self._entries.append(
            JournalEntry(
                entity=kind, key=key, action=action, detail=dict(detail), org_id=self._org_id, actor=actor,
                merged=merged, personal=self._personal, run=None if self._record is None else self._record.run,
            )
        )  # fmt: skip

    def notice(self, what: str, record: RemoteRecord, link: Link, data: Mapping[str, object]) -> None:
        """Tell the company's own systems what was applied, if they are to be told."""
        if self._webhooks.enabled:
            self._notices.append(make_notice(what, record, link, data))

    def notice_of_fields(
        self, record: RemoteRecord, link: Link, names: Sequence[str], *, what: str = "updated"
    ) -> None:
        """Tell that these fields were taken from the org: their values only if the settings say so."""
        values = {"values": {name: record.fields[name] for name in names}} if self._webhooks.include_values else {}
        self.notice(what, record, link, {"fields": list(names), **values})

    def explain(
        self,
        effect: Effect,
        record: RemoteRecord,
        link: Link | None,
        versions: FieldVersions | None = None,
        *,
        why: str | None = None,
        fix: str | None = None,
    ) -> None:
        """List a change in the report, if changes are to be explained."""
        if self._explains:
            self.report.changes.append(
                RecordChange(
                    effect=effect,
                    sobject=record.sobject,
                    record_id=record.id,
                    entity=None if link is None else link.entity,
                    key=None if link is None else link.key,
                    field=None if versions is None else versions.name,
                    here=None if versions is None else versions.local,
                    in_org=None if versions is None else versions.remote,
                    changed_by=record.author,
                    why=why,
                    fix=fix,
                )
            )

    async def store(self) -> None:
        """Write everything but the commands on orders."""
        uow, org_id = self._uow, self._org_id
        locked_customers = {item.key: item for item in self._locked.values() if isinstance(item, Customer)}
        locked_products = {item.key: item for item in self._locked.values() if isinstance(item, Product)}
        saved_customers = [item for item in self._saved.values() if isinstance(item, Customer)]
        saved_products = [item for item in self._saved.values() if isinstance(item, Product)]
        await customers.save(uow, saved_customers, locked=locked_customers)
        await products.save(uow, saved_products, locked=locked_products)
        await links.put(uow, org_id, [*self._links.values()])
        for entity, restored in self._restored.items():
            await restored_fields.put(uow, org_id, entity, restored)
        self.report.conflicts += len(await conflicts.open_or_update(uow, self.conflicts))
        await conflicts.resolve(uow, self.settled, ConflictState.CLOSED, actor=ACTOR)
        for pause in sorted({pause for _, pause in self._deferred}):
            records = [(item.sobject, item.id) for item, wait in self._deferred if wait == pause]
            await inbox.retry(uow, org_id, records, pause=pause, observed=self._observed)
        for record, error, fix in self._parked:
            ref = (record.sobject, record.id)
            await inbox.park(uow, org_id, ref, Source.POLL, error=error, fix=fix, read_at=record.read_at)
        await journal.write(uow, self._entries)
        await change_notices.capture(uow, self._notices)
