"""The form that chooses what a resync is about: read from a form or from the address of a preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import TypeVar
from urllib.parse import urlencode

from pydantic import ValidationError

from connector.api.schemas import ResyncFilterBody
from connector.model.change import EntityKind
from connector.model.resync import Priority, ResyncFilter, ResyncMode
from connector.validation import field_errors
from connector.web.console.formats import Place
from connector.web.console.frame import Form, FormError

ALL_KINDS = "all"
FIELDS = (
    "entity", "mode", "priority", "keys", "customer", "stage", "channel", "changed_since", "changed_until", "refused",
    "error", "mapping_version", "org",
)  # fmt: skip
MOST_TEXT = 6000
"""Characters of keys in a form: they stand in the address of the preview."""


E = TypeVar("E", bound=StrEnum)


class RefusedWhen(StrEnum):
    """Which refused changes are chosen; days are those of the viewer."""

    ANY = "any"
    TODAY = "today"
    YESTERDAY = "yesterday"
    WEEK = "week"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResyncChoice:
    """What a filled-in form chooses. `kinds`: one, or all that can be chosen so. `query`: the form as an address."""

    kinds: Sequence[EntityKind]
    mode: ResyncMode
    priority: Priority
    filter: ResyncFilter
    query: str


def read_choice(form: Form, place: Place, now: datetime) -> ResyncChoice:
    """Read a form. Raises FormError with a sentence for each field that cannot be used."""
    wrong: dict[str, str] = {}
    kinds = _kinds(form.get("entity") or EntityKind.ORDER.value, wrong)
    mode = _one_of("mode", form.get("mode") or ResyncMode.PUSH.value, ResyncMode, wrong)
    priority = _one_of("priority", form.get("priority") or Priority.LOW.value, Priority, wrong)
    document: dict[str, object] = {
        name: text for name in ("customer", "stage", "channel", "error", "org") if (text := form.get(name, "").strip())
    }
    text = form.get("keys", "")
    if len(text) > MOST_TEXT:
        wrong["keys"] = (
            f"Keys: at most {MOST_TEXT:,} characters. Start several resyncs, or use `connector resyncs start --key`."
        )
    elif keys := text.replace(",", " ").split():
        document["keys"] = keys
    for name in ("changed_since", "changed_until"):
        if (moment := _moment(name, form.get(name, ""), place, wrong)) is not None:
            document[name] = moment.isoformat()
    if version := form.get("mapping_version", "").strip():
        if version.isascii() and version.isdecimal() and len(version) < 10:
            document["mapping_version"] = int(version)
        else:
            wrong["mapping_version"] = "Mapping version: must be a whole number, as the page of mappings shows it."
    if refused := form.get("refused", ""):
        chosen = _one_of("refused", refused, RefusedWhen, wrong)
        document |= _refused_between(chosen, place, now)
    body = ResyncFilterBody()
    try:
        body = ResyncFilterBody.model_validate(document)
    except ValidationError as error:
        for item in field_errors(error, ResyncFilterBody):
            wrong.setdefault(str(item.place[0]) if item.place else "", item.sentence("The form"))
    if wrong:
        raise FormError(wrong)
    given = {name: form[name].strip() for name in FIELDS if form.get(name, "").strip()}
    if "keys" in document:
        given["keys"] = " ".join(body.keys)
    return ResyncChoice(kinds=kinds, mode=mode, priority=priority, filter=body.chosen(), query=urlencode(given))


def _kinds(text: str, wrong: dict[str, str]) -> Sequence[EntityKind]:
    if text == ALL_KINDS:
        return (EntityKind.CUSTOMER, EntityKind.PRODUCT, EntityKind.ORDER, EntityKind.RETURN)
    return (_one_of("entity", text, EntityKind, wrong),)


def _one_of(name: str, text: str, among: type[E], wrong: dict[str, str]) -> E:
    if text in set(among):
        return among(text)
    wrong[name] = f"{name}: {text[:40]!r} is none of {', '.join(among)}."
    return next(iter(among))


def _moment(name: str, text: str, place: Place, wrong: dict[str, str]) -> datetime | None:
    """A time as a browser sends it, in the zone of the viewer; one with a zone is taken as it is."""
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        return (moment if moment.tzinfo else moment.replace(tzinfo=place.info)).astimezone(UTC)
    except (ValueError, OverflowError):
        wrong[name] = f"{name}: {text[:40]!r} is no time. Write it as 2026-03-01T12:00."
        return None


def _refused_between(chosen: RefusedWhen, place: Place, now: datetime) -> Mapping[str, str]:
    today = now.astimezone(place.info).date()
    days = {RefusedWhen.TODAY: 0, RefusedWhen.YESTERDAY: 1, RefusedWhen.WEEK: 7}
    moments = {"refused_until": (now + timedelta(seconds=1)).isoformat()}  # what is refused later was not shown
    if chosen in days:
        moments["refused_since"] = _beginning(today - timedelta(days=days[chosen]), place).isoformat()
    if chosen is RefusedWhen.YESTERDAY:
        moments["refused_until"] = _beginning(today, place).isoformat()
    return moments


def day_beginnings(place: Place, now: datetime) -> tuple[datetime, datetime]:
    """When yesterday and today began for the viewer."""
    today = now.astimezone(place.info).date()
    return _beginning(today - timedelta(days=1), place), _beginning(today, place)


def _beginning(day: date, place: Place) -> datetime:
    return datetime.combine(day, time(), tzinfo=place.info).astimezone(UTC)
