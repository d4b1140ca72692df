"""Corrects what made the org refuse an entity, and sends it again: one transaction, by the same rules as any change.

The record at fault is not always the dead letter itself: an order can be refused because of its customer or a product.
Either may be corrected; what was refused because of it is due again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from connector.api.schemas import CustomerPut, ProductPut
from connector.api.transitions import TransitionBody
from connector.errors import CommandError
from connector.model.change import ChangeState, EntityKind
from connector.model.customer import Customer
from connector.model.dead_letter_group import group_letters
from connector.model.product import Product
from connector.orders.command import OrderCommand
from connector.orders.service import Executed, LockOrders, OrderService
from connector.store import causes, customers, dead_letters, journal, orders, outbox, products
from connector.store.engine import Connection, Store
from connector.store.journal import JournalEntry
from connector.store.unit_of_work import UnitOfWork
from connector.validation import field_errors

B = TypeVar("B", bound=BaseModel)

_FIXED = frozenset({"number", "sku", "version"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Correction:
    """New values of an entity. `values` are its fields by name, None empties one; `line_edits` are those of an order,
    by line, as `change` has them. `version`: the entity must still have it."""

    entity: EntityKind
    key: str
    version: int
    values: Mapping[str, object]
    line_edits: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Corrected:
    """What became of it: the version of the entity now, and how many dead letters are due again."""

    version: int
    replayed: int


class _Versions(Protocol):
    async def versions(
        self, connection: Connection, keys: Sequence[str], /, *, lock: bool = False
    ) -> dict[str, int]: ...


class DeadLetterCorrector:
    """Changes entities that are dead letters, or because of which others are."""

    def __init__(self, store: Store, orders: OrderService) -> None:
        self._store = store
        self._orders = orders

    async def correct(self, correction: Correction, *, actor: str) -> Corrected:
        """Change the entity and send it again. Raises CommandError: `unknown` if there is no such dead letter,
        `version` if the entity has changed, `input` for a value that does not suit, or what the order does not allow.
        """
        match correction.entity:
            case EntityKind.CUSTOMER:
                return await self._store.transact(lambda uow: self._correct_customer(uow, correction, actor))
            case EntityKind.PRODUCT:
                return await self._store.transact(lambda uow: self._correct_product(uow, correction, actor))
            case EntityKind.ORDER:
                return await self._correct_order(correction, actor)
        raise CommandError(
            "A return is not edited.",
            hint="Correct its order, or take the next step of the return; then replay it.",
            field="entity",
            rule="input",
        )

    async def _correct_customer(self, uow: UnitOfWork, correction: Correction, actor: str) -> Corrected:
        refused = await _refused_with(uow, correction, actor)
        await _check_version(uow, customers, correction)
        [current] = await customers.load(uow.connection, [correction.key])
        given = {**_fields_of(current, CustomerPut), **_changeable(correction)}
        await customers.save(uow, [_read(CustomerPut, given).customer(correction.key)])
        return await _finish(uow, customers, correction, refused, actor)

    async def _correct_product(self, uow: UnitOfWork, correction: Correction, actor: str) -> Corrected:
        refused = await _refused_with(uow, correction, actor)
        await _check_version(uow, products, correction)
        [current] = await products.load(uow.connection, [correction.key])
        given = {**_fields_of(current, ProductPut), **_changeable(correction)}
        await products.save(uow, [_read(ProductPut, given).product(correction.key)])
        return await _finish(uow, products, correction, refused, actor)

    async def _correct_order(self, correction: Correction, actor: str) -> Corrected:
        body = {"action": "change", "details": dict(correction.values), "line_edits": dict(correction.line_edits or {})}
        asked = _read(TransitionBody, body).root
        refused: dict[EntityKind, list[str]] = {}
        results: list[Corrected] = []  # the transaction may be repeated: only the last one counts

        async def prepare(uow: UnitOfWork, lock_orders: LockOrders) -> Sequence[OrderCommand]:
            await lock_orders([correction.key])
            refused.clear()
            refused.update(await _refused_with(uow, correction, actor))
            return [OrderCommand(number=correction.key, event=asked.event, version=correction.version)]

        async def finish(uow: UnitOfWork, executed: Sequence[Executed]) -> None:
            replayed = await _replay(uow, correction, refused, actor)
            results.append(Corrected(version=executed[-1].order.version, replayed=replayed))

        await self._orders.execute_prepared(prepare, actor=actor, finish=finish)
        return results[-1]


async def find_version(connection: Connection, entity: EntityKind, key: str) -> int | None:
    """The version of an entity; None if it has none (a return is part of its order), or does not exist."""
    match entity:
        case EntityKind.CUSTOMER:
            return (await customers.versions(connection, [key])).get(key)
        case EntityKind.PRODUCT:
            return (await products.versions(connection, [key])).get(key)
        case EntityKind.ORDER:
            return next((order.version for order in await orders.load(connection, [key])), None)
    return None


def _fields_of(entity: Customer | Product, body: type[BaseModel]) -> dict[str, Any]:
    """The entity as the body that would put it."""
    values = asdict(entity)
    return {name: values[name] for name in body.model_fields if name in values}


def _changeable(correction: Correction) -> Mapping[str, object]:
    """The new values. CommandError for the key or the version, which stay, and for lines of what has none."""
    for name in sorted(_FIXED & correction.values.keys()):
        raise CommandError(f"set.{name}: cannot be changed.", field=f"set.{name}", rule="input")
    if correction.line_edits:
        raise CommandError("line_edits: only an order has lines.", field="line_edits", rule="input")
    return correction.values


def _read(model: type[B], given: Mapping[str, object]) -> B:
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        first = field_errors(error, model)[0]
        name = first.field.removeprefix("details").lstrip(".")  # of an order, the correction is an action with details
        field = name if name.startswith("line_edits") else f"set.{name}".rstrip(".")
        raise CommandError(f"{field}: {first.ended}", field=field, rule="input") from None


async def _refused_with(uow: UnitOfWork, correction: Correction, actor: str) -> dict[EntityKind, list[str]]:
    """The dead letters of this entity, and those that were refused because of it, by kind. CommandError if none are.
    Their causes are noted as corrected here, before the change itself makes them due."""
    record = f"{correction.entity} {correction.key}"
    found = await dead_letters.list_because_of(uow.connection, [record])
    unsent = await outbox.find(uow.connection, correction.entity, [correction.key])
    states = {row.state for row in unsent.values()}
    if ChangeState.DEAD in states and correction.key not in found.get(correction.entity, ()):
        found.setdefault(correction.entity, []).append(correction.key)
    if not found and ChangeState.BLOCKED not in states:
        raise CommandError(
            f"There is no dead letter of {record}, and none because of it.",
            hint="`connector dead-letters list` shows all; any other change is made as usual.",
            field="key",
            rule="unknown",
        )
    for kind, keys in found.items():
        letters = await dead_letters.list_dead_letters(uow.connection, entity=kind, keys=keys)
        await causes.record_action(uow, group_letters(letters), "correct", actor=actor)
    return found


async def _check_version(uow: UnitOfWork, stored: _Versions, correction: Correction) -> None:
    what = f"{correction.entity.capitalize()} {correction.key}"
    current = (await stored.versions(uow.connection, [correction.key], lock=True)).get(correction.key)
    if current is None:
        raise CommandError(f"{what} does not exist here.", field="key", rule="unknown")
    if current != correction.version:
        raise CommandError(
            f"{what} has changed: it is at version {current}, not {correction.version}.",
            hint="Read it again, and repeat the request if it still applies.",
            field="version",
            rule="version",
        )


async def _finish(
    uow: UnitOfWork,
    stored: _Versions,
    correction: Correction,
    refused: Mapping[EntityKind, Sequence[str]],
    actor: str,
) -> Corrected:
    replayed = await _replay(uow, correction, refused, actor)
    version = (await stored.versions(uow.connection, [correction.key]))[correction.key]
    return Corrected(version=version, replayed=replayed)


async def _replay(
    uow: UnitOfWork, correction: Correction, refused: Mapping[EntityKind, Sequence[str]], actor: str
) -> int:
    """Make due what was refused, also if the change itself did not; the audit names the fields, not their values."""
    await dead_letters.replay(uow, correction.entity, [correction.key])
    for kind, keys in refused.items():
        await dead_letters.replay(uow, kind, keys)
    detail = {
        "fields": sorted(correction.values),
        "lines": sorted(correction.line_edits or {}),
        "replayed": sum(map(len, refused.values())),
    }
    entry = JournalEntry(
        entity=correction.entity.value, key=correction.key, action="corrected", detail=detail, actor=actor
    )
    await journal.write(uow, [entry])
    return sum(map(len, refused.values()))
