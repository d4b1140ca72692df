"""Which rule of a mapping makes the value of a field of an order, and which stage still to come makes another. PURE."""

from __future__ import annotations

from dataclasses import dataclass, replace

from connector.mapping.compiler import ABSENT, compile_field
from connector.mapping.problems import Position
from connector.mapping.spec import FieldSpec, Owner, RecordSpec
from connector.mapping.transforms import to_text
from connector.model.lifecycle_chart import main_line
from connector.model.order import Order
from connector.model.record import FieldValue
from connector.model.stage import Stage


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldRule:
    """The rule for one field of an order. `value`: what it makes now; `keeps`: nothing, the org's value stays.

    `origin`: what it makes that of, as `stage`, which is `given` now, as `verified`; None for a constant or an
    expression. `position`: where it is written. `next_stage`: the first stage to come with another value, `next_value`;
    None if there is none.
    """

    owner: Owner
    value: FieldValue
    keeps: bool
    position: Position
    origin: str | None = None
    given: str | None = None
    is_constant: bool = False
    next_stage: Stage | None = None
    next_value: FieldValue = None


def explain_field(spec: RecordSpec, name: str, order: Order) -> FieldRule | None:
    """The rule of `name`; None if it is not mapped, or its value cannot be computed."""
    field = next((item for item in spec.fields if item.name == name), None)
    if field is None:
        return None
    get = compile_field(field)
    try:
        now, given = get(order), _given(field, order)
        next_stage: Stage | None = None
        next_value: FieldValue = None
        for stage in _stages_ahead(order.stage):
            value = get(_in_stage(order, stage))
            if value is not ABSENT and value != now:
                next_stage, next_value = stage, value
                break
    except Exception:  # whatever a transform or an expression raises on an unsuitable value
        return None
    return FieldRule(
        owner=field.owner,
        value=None if now is ABSENT else now,
        keeps=now is ABSENT,
        position=_position(field, given),
        origin=None if field.path is None else field.path.text,
        given=given,
        is_constant=field.path is None and field.expression is None,
        next_stage=next_stage,
        next_value=next_value,
    )


def _stages_ahead(stage: Stage) -> list[Stage]:
    line = main_line()
    return line[line.index(stage) + 1 :] if stage in line else []


def _in_stage(order: Order, stage: Stage) -> Order:
    return replace(order, state=replace(order.state, stage=stage))


def _given(field: FieldSpec, order: Order) -> str | None:
    """The value that the rule is about, as a value table has it."""
    if field.path is not None:
        value = field.path.read(order)
    elif field.expression is not None:
        value = field.expression.evaluate(order)
    else:
        return None
    for transform in field.transforms:
        if value is not None:
            value = transform.forward(value)
    return None if value is None else to_text(value)


def _position(field: FieldSpec, given: str | None) -> Position:
    if field.values is None or given is None:
        return field.position
    row = field.values.rows.get(given) or field.values.other_values
    return field.position if row is None else row.position
