"""What the journal is to say of a merge: for each field what both sides had, what became of it, and why. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from connector.inbound.merge import RecordMerge, explain_decision
from connector.model.field_notes import MergedField
from connector.model.inbound_change import RemoteRecord
from connector.model.record import Link
from connector.model.record_change import Effect

_ACTIONS = {
    "received": (Effect.TAKEN,),
    "restored": (Effect.RESTORED, Effect.REFUSED),
    "overruled": (Effect.OVERRULED,),
}
"""The action of an entry, and the effects that it tells of. A conflict is a row of its own."""


def merge_notes(
    record: RemoteRecord,
    link: Link,
    merged: RecordMerge,
    effects: Mapping[Effect, Sequence[str]],
    reasons: Mapping[str, str],
) -> Iterator[tuple[str, Mapping[str, object], Sequence[MergedField]]]:
    """The action, the details and the fields of each entry about the merge of `record`. `reasons` say why the rules of
    an order forbid a field, by field."""
    about = {"record": record.id, "by": record.author, "at": record.modified_at, "source": record.source.value}
    for action, told in _ACTIONS.items():
        names = [name for effect in told for name in effects[effect]]
        if not names:
            continue
        refused = {name: reasons[name] for name in names if name in reasons}
        detail: dict[str, object] = {**about, "fields": names}
        if refused:
            detail["because"] = refused
        fields = [
            MergedField(
                sobject=record.sobject, key=link.key, field=name, base=versions.base, local=versions.local,
                remote=versions.remote, effect=effect.value,
                why=reasons.get(name) or explain_decision(versions, merged.decisions[name], merged.context),
            )
            for effect in told
            for name in effects[effect]
            for versions in (merged.versions[name],)
        ]  # fmt: skip
        yield action, detail, fields
