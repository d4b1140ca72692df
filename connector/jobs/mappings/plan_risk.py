"""How risky a change of the mappings is, and why. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from connector.mapping.meaning import ChangeKind, MappingChange
from connector.model.mapping_plan import EntityCount, FormerValues, PlanCost, Risk
from connector.wording import plural

MANY_PERCENT = 50
SOME_PERCENT = 10


def judge(
    changes: Sequence[MappingChange],
    counts: Sequence[EntityCount],
    cost: PlanCost,
    former: Sequence[FormerValues] = (),
    unread: str = "",
    under_way: Sequence[str] = (),
) -> tuple[Risk, list[str]]:
    """How risky the change is, and why, the weightiest reason first. `under_way`: resyncs that have not ended."""
    found: list[tuple[Risk, str]] = []
    for change in changes:
        place = f"{change.sobject}.{change.field}" if change.field else change.sobject
        if change.kind in {ChangeKind.KEY, ChangeKind.OBJECT}:
            what = f"{change.before} becomes {change.after}" if change.before else f"a part is {change.after}"
            found.append((Risk.HIGH, f"{place}: {what}, by which records are found."))
        elif change.kind is ChangeKind.OWNER:
            found.append((Risk.HIGH, f"{place}: the owner changes from {change.before} to {change.after}."))
        elif change.kind is ChangeKind.REMOVED:
            found.append((Risk.MEDIUM, f"{place} is no longer mapped: it keeps the value that the org has."))
        elif change.kind is ChangeKind.WHEN:
            found.append((Risk.MEDIUM, f"{place}: `when` selects other entities."))
        elif change.kind is ChangeKind.FILE:
            found.append((Risk.MEDIUM, f"{change.source} is {change.after}."))
    for count in counts:
        found += _judge_count(count)
    for values in former:
        found += _judge_former(values, unread)
    if under_way:
        names = f"{', '.join(under_way)} {'has' if len(under_way) == 1 else 'have'} not ended"
        found.append((Risk.MEDIUM, f"{names}: what is sent until this is applied is compared again, and not counted."))
    if cost.calls_left is not None and cost.calls > cost.calls_left:
        left = f"about {cost.calls:,} API calls are needed, and {max(cost.calls_left, 0):,} are left of today's budget"
        found.append((Risk.HIGH, f"It takes longer than a day: {left}."))
    ranks = list(Risk)
    found.sort(key=lambda item: -ranks.index(item[0]))
    reasons = list(dict.fromkeys(text for _, text in found))
    if found:
        return found[0][0], reasons
    return (Risk.LOW if changes else Risk.NONE), reasons


def _judge_count(count: EntityCount) -> list[tuple[Risk, str]]:
    found = []
    if count.total and not count.examined:
        what = f"every {count.entity} is sent again where it differs, {count.total:,} in all"
        return [(Risk.MEDIUM, f"{what}: what changes in them is not computed.")]
    about = "about " if count.estimated else ""
    noun = count.entity

    def add(number: int, risk: Risk, one: str, many: str) -> None:
        if number:
            found.append((risk, f"{about}{plural(number, noun)} {one if number == 1 else many}."))

    add(count.refused, Risk.HIGH, "would be refused, which is accepted now", "would be refused, which are accepted now")
    share = 100 * count.changed / count.total if count.total else 0
    if share >= SOME_PERCENT:
        risk = Risk.HIGH if share > MANY_PERCENT else Risk.MEDIUM
        found.append((risk, f"{about}{count.changed:,} of {plural(count.total, noun)} change ({share:.0f} %)."))
    for_what = "reopened for a frozen field, and activated again"
    add(count.rewrites, Risk.MEDIUM, f"is {for_what}", f"are {for_what}")
    add(count.created, Risk.MEDIUM, "is created in the org", "are created in the org")
    add(count.left_out, Risk.MEDIUM, "is no longer synced", "are no longer synced")
    return found


def _judge_former(values: FormerValues, unread: str) -> list[tuple[Risk, str]]:
    """What becomes of values that people may have typed into a field that was not read before."""
    found = []
    place = f"{values.sobject}.{values.field}"
    if values.lost:
        parts = {"overwritten": values.overwritten, "emptied": values.emptied}
        what = " and ".join(f"{number:,} would be {word}" for word, number in parts.items() if number)
        of_records = f"{values.asked:,} records that were read"
        kept = "Each is kept before it is replaced: going back and undoing the resync put it back"
        found.append((Risk.HIGH, f"{place} holds values of its own in Salesforce: of {of_records}, {what}. {kept}."))
    if values.unasked:
        why = f"the org could not be asked: {unread}" if unread else "only a part was read"
        what = (
            f"what {plural(values.unasked, 'record')} hold{'s' if values.unasked == 1 else ''} there now is not known"
        )
        found.append((Risk.MEDIUM, f"{place}: {what}, because {why}. It would be overwritten."))
    return found
