"""Correcting a refused value: at the entity that it belongs to, and what was refused because of it is sent again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

from connector.errors import CommandError
from connector.jobs.correctable_values import CorrectableEntity, CorrectableValue, OrgLimit, find_correctable_values
from connector.jobs.dead_letter_correction import Correction, DeadLetterCorrector
from connector.jobs.schedule import job_of
from connector.model.change import DeadLetter, EntityKind
from connector.model.dead_letter_group import fingerprint
from connector.model.outcome import RowError
from connector.model.role import Role
from connector.salesforce.fault import classify_row
from connector.settings.salesforce import DEFAULT_ORG
from connector.store import dead_letters
from connector.store.engine import Connection
from connector.web.console.action_form import SHOWN, Control
from connector.web.console.action_titles import label_of
from connector.web.console.frame import ConsoleAction, ConsolePage, Done, Form, FormError
from connector.web.console.job_note import note_job
from connector.web.path_number import is_number
from connector.web.problem import ProblemError
from connector.web.routing import RequestContext
from connector.wording import plural

PATH = "/errors/correct"
_FLAG = (("true", "yes"), ("false", "no"))


async def load_correction(call: RequestContext) -> Mapping[str, object]:
    """A dead letter, with the values that can be changed; the refused one first."""
    kind, key = _named(call)
    mappings = await call.conflict_resolver().mappings()
    async with call.store.reader() as connection:
        letter = await _find_letter(call, connection, kind, key)
        entity = None if letter is None else await find_correctable_values(connection, letter, mappings)
    refused = [value for value in entity.values if value.is_refused] if entity else []
    others = [value for value in entity.values if not value.is_refused] if entity else []
    return {
        "title": f"Correct {kind} {key}",
        "letter": letter,
        "group": "" if letter is None else fingerprint(letter.entity, letter.refusal),
        "explanation": "" if letter is None else classify_row(RowError(code=letter.refusal.code, message="")).sentence,
        "entity": entity,
        "label_of": label_of,
        "refused": [_control(value) for value in refused],
        "others": [_control(value) for value in others],
        "shown": {value.key: value.value for value in entity.values} if entity else {},
        "key": key,
        "kind": kind,
    }


async def correct(call: RequestContext, form: Form) -> Done:
    """Change the entity as the form says, and send again what was refused because of it."""
    kind, key = _named(call)
    mappings = await call.conflict_resolver().mappings()
    async with call.store.reader() as connection:
        letter = await _find_letter(call, connection, kind, key)
        entity = None if letter is None else await find_correctable_values(connection, letter, mappings)
    if letter is None or entity is None:
        why = "No value of ours can cure this." if letter else f"{kind.capitalize()} {key} is not refused any more."
        raise CommandError(why, hint="Nothing was changed.", field="", rule="unknown")
    version = form.get("version", "")
    touched = {
        value.key: form[value.key].strip()
        for value in entity.values
        if value.key in form and form[value.key].strip() != form.get(SHOWN + value.key, value.value).strip()
    }
    _check(entity, touched)
    correction = Correction(
        entity=entity.entity,
        key=entity.key,
        version=int(version) if is_number(version) else 0,
        values={value.name: _given(value, touched[value.key]) for value in entity.values if value.is_set_in(touched)},
        line_edits=_line_edits(entity, touched),
    )
    try:
        done = await DeadLetterCorrector(call.store, call.orders).correct(correction, actor=call.token.name)
    except CommandError as error:
        name = error.field.replace("details.", "set.", 1)
        raise FormError({name if name in form else "": f"{error.message} {error.hint}".strip()}) from None
    count = f"{plural(done.replayed, 'change is', 'changes are')} sent again."
    told = f"{entity.entity.capitalize()} {entity.key} is corrected: {count}"
    return Done(
        where=f"/errors/cause?group={quote(fingerprint(letter.entity, letter.refusal))}",
        told=told + await note_job(call, job_of("push", letter.org)),
    )


def _named(call: RequestContext) -> tuple[EntityKind, str]:
    kind, key = call.query_choice("entity", EntityKind), call.query_key("key")
    if kind is None or key is None:
        raise ProblemError(404, "unknown", "This address names no refused change.", hint="Open it from its cause.")
    return kind, key


async def _find_letter(call: RequestContext, connection: Connection, kind: EntityKind, key: str) -> DeadLetter | None:
    """The dead letter of the address; of several orgs that refused a product, of the one that `org` names."""
    found = await dead_letters.list_dead_letters(connection, entity=kind, keys=[key])
    org = call.query_value("org")
    return next((item for item in found if org is None or (item.org or DEFAULT_ORG) == org), None)


def _check(entity: CorrectableEntity, touched: Mapping[str, str]) -> None:
    """Raise FormError for what the org would refuse again."""
    if not touched:
        raise FormError({"": "Nothing is changed yet: change a value, or replay it as it is from its cause."})
    wrong = {}
    for value in entity.values:
        text, limit = touched.get(value.key), value.limit
        if text is None or limit is None:
            continue
        if limit.is_sent_as_is and limit.length and len(text) > limit.length:
            wrong[value.key] = f"{limit.label} takes {limit.length} characters in Salesforce; this has {len(text)}."
        elif limit.options and text not in limit.options:
            wrong[value.key] = f"{limit.label} takes only the values of its list in Salesforce."
    if wrong:
        raise FormError(wrong)


def _given(value: CorrectableValue, text: str) -> object:
    return text == "true" if value.is_flag else text or None


def _line_edits(entity: CorrectableEntity, touched: Mapping[str, str]) -> Mapping[str, object]:
    """The lines with a new value; with each goes all of it."""
    edits: dict[str, dict[str, str | None]] = {}
    for value in entity.values:
        if value.line is not None and any(name.startswith(f"line_edits.{value.line}.") for name in touched):
            edits.setdefault(str(value.line), {})[value.name] = touched.get(value.key, value.value) or None
    return edits


def _control(value: CorrectableValue) -> Control:
    label = label_of(value.name)
    label = f"{label} of line {value.line}" if value.line is not None else label
    control = Control(name=value.key, label=label, value=value.value, hint=_hint(value))
    options: Sequence[tuple[str, str]] = ()
    if value.is_flag:
        options = _FLAG
    elif value.limit is not None and value.limit.options:
        known = [(option, option) for option in value.limit.options]
        options = known if value.value in value.limit.options else [(value.value, f"{value.value} (refused)"), *known]
    kind = "choice" if options else "long" if value.is_long else "text"
    return replace(control, kind=kind, options=options)


def _hint(value: CorrectableValue) -> str:
    limit = value.limit
    if limit is None:
        return ""
    most = f", at most {limit.length:,} characters" if limit.is_sent_as_is and limit.length else ""
    has = f"; this has {len(value.value.strip()):,}" if most else ""
    return f"In Salesforce: {describe_limit(limit)}{most}{has}."


def describe_limit(limit: OrgLimit) -> str:
    """`Name (Name), string`."""
    return f"{limit.label} ({limit.name}), {limit.type}"


PAGE = ConsolePage(path=PATH, title="Correct", template="correct.html.j2", load=load_correction, role=Role.OPS)
ACTIONS = (ConsoleAction(path=PATH, act=correct, page=PAGE),)
