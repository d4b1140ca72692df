"""What becomes of a field, by its owner and by which side changed it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connector.inbound.merge import Decision, FieldVersions, MergeContext, decide, merge
from connector.mapping.spec import Owner
from connector.model.conflict import ConflictState
from connector.model.observed_value import ObservedValue, dump_observed, load_observed, with_earlier
from connector.model.record import FieldValue

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEEP, AGREE, TAKE, RESTORE, CONFLICT = Decision
LOCAL, SALESFORCE, NEWEST, ASK = Owner


def versions(owner: Owner, base: FieldValue, local: FieldValue, remote: FieldValue, **more: bool) -> FieldVersions:
    return FieldVersions(name="Phone", owner=owner, base=base, local=local, remote=remote, **more)


@pytest.mark.parametrize("owner", Owner)
@pytest.mark.parametrize(
    ("base", "local", "remote", "decisions"),
    [
        # Nobody changed it, or only we did: nothing comes in.
        ("1", "1", "1", {LOCAL: KEEP, SALESFORCE: KEEP, NEWEST: KEEP, ASK: KEEP}),
        ("1", "2", "1", {LOCAL: KEEP, SALESFORCE: KEEP, NEWEST: KEEP, ASK: KEEP}),
        # The org alone changed it.
        ("1", "1", "3", {LOCAL: RESTORE, SALESFORCE: TAKE, NEWEST: TAKE, ASK: TAKE}),
        ("1", "1", None, {LOCAL: RESTORE, SALESFORCE: TAKE, NEWEST: TAKE, ASK: TAKE}),
        (None, None, "3", {LOCAL: RESTORE, SALESFORCE: TAKE, NEWEST: TAKE, ASK: TAKE}),
        # Both changed it to the same value.
        ("1", "3", "3", {LOCAL: AGREE, SALESFORCE: AGREE, NEWEST: AGREE, ASK: AGREE}),
        ("1", None, "", {LOCAL: AGREE, SALESFORCE: AGREE, NEWEST: AGREE, ASK: AGREE}),
        # Both changed it to different values; the org did so last.
        ("1", "2", "3", {LOCAL: RESTORE, SALESFORCE: TAKE, NEWEST: TAKE, ASK: CONFLICT}),
        ("1", "2", None, {LOCAL: RESTORE, SALESFORCE: TAKE, NEWEST: TAKE, ASK: CONFLICT}),
    ],
)
def test_field_is_decided_by_owner_and_by_who_changed_it(
    owner: Owner, base: FieldValue, local: FieldValue, remote: FieldValue, decisions: dict[Owner, Decision]
) -> None:
    context = MergeContext(local_changed_at=NOON, remote_changed_at=NOON + timedelta(minutes=1))
    assert decide(versions(owner, base, local, remote), context) is decisions[owner]


@pytest.mark.parametrize(
    ("local", "remote", "expected"),
    [
        (None, "3", {LOCAL: RESTORE, SALESFORCE: TAKE, NEWEST: TAKE, ASK: TAKE}),
        ("2", None, {LOCAL: RESTORE, SALESFORCE: TAKE, NEWEST: RESTORE, ASK: RESTORE}),
        ("2", "2", {LOCAL: AGREE, SALESFORCE: AGREE, NEWEST: AGREE, ASK: AGREE}),
        ("2", "3", {LOCAL: RESTORE, SALESFORCE: TAKE, NEWEST: TAKE, ASK: CONFLICT}),
    ],
)
@pytest.mark.parametrize("owner", Owner)
def test_without_agreed_value_an_empty_side_gives_way(
    owner: Owner, local: FieldValue, remote: FieldValue, expected: dict[Owner, Decision]
) -> None:
    item = versions(owner, None, local, remote, has_base=False)
    assert decide(item, MergeContext(local_changed_at=NOON, remote_changed_at=NOON)) is expected[owner]


@pytest.mark.parametrize(
    ("remote_after", "expected"),
    [(timedelta(seconds=-1), RESTORE), (timedelta(), TAKE), (timedelta(seconds=1), TAKE)],
    ids=["earlier", "same second", "later"],
)
def test_newest_takes_the_later_change(remote_after: timedelta, expected: Decision) -> None:
    changed_here = NOON + timedelta(microseconds=900_000)
    context = MergeContext(local_changed_at=changed_here, remote_changed_at=NOON + remote_after)
    assert decide(versions(NEWEST, "1", "2", "3"), context) is expected


def test_snapshot_follows_the_org_except_in_conflict() -> None:
    merged = merge(
        [
            FieldVersions(name="Taken", owner=SALESFORCE, base="1", local="1", remote="2"),
            FieldVersions(name="Restored", owner=LOCAL, base="1", local="1", remote="2"),
            FieldVersions(name="Asked", owner=ASK, base="1", local="2", remote="3"),
            FieldVersions(name="Kept", owner=ASK, base="1", local="2", remote="1"),
        ],
        MergeContext(),
    )
    assert merged.agreed == {"Taken": "2", "Restored": "2"}
    assert merged.taken == {"Taken": "2"}
    assert merged.fields(CONFLICT) == ["Asked"]
    assert not merged.is_echo


def test_record_that_holds_what_was_agreed_is_an_echo() -> None:
    assert merge([versions(ASK, "1", "2", "1 ")], MergeContext()).is_echo


@pytest.mark.parametrize(("answer", "decision"), [(ConflictState.LOCAL, RESTORE), (ConflictState.SALESFORCE, TAKE)])
def test_answer_that_was_kept_as_a_rule_decides_instead_of_a_person(answer: ConflictState, decision: Decision) -> None:
    context = MergeContext(answers={"Phone": answer})
    assert decide(versions(ASK, "1", "2", "3"), context) is decision
    assert decide(versions(ASK, "1", "1", "3"), context) is TAKE
    assert decide(versions(ASK, "1", "2", "3"), MergeContext(answers={"Fax": answer})) is CONFLICT


@pytest.mark.parametrize(("seen", "expected"), [("3 ", RESTORE), ("4", TAKE)])
def test_newest_takes_the_time_at_which_a_value_was_seen_while_it_stands(seen: str, expected: Decision) -> None:
    observed = {"Phone": ObservedValue(value=seen, at=NOON - timedelta(minutes=1))}
    context = MergeContext(
        local_changed_at=NOON, remote_changed_at=NOON + timedelta(minutes=1), observed=observed
    )  # the record was modified again, perhaps by ourselves
    assert decide(versions(NEWEST, "1", "2", "3"), context) is expected


def test_time_at_which_a_value_was_seen_counts_only_if_it_is_the_earlier_one() -> None:
    """An earlier release noted the SystemModstamp, which is later than the last modification by a user."""
    observed = {"Phone": ObservedValue(value="3", at=NOON + timedelta(minutes=5))}
    context = MergeContext(local_changed_at=NOON + timedelta(minutes=2), remote_changed_at=NOON, observed=observed)
    assert decide(versions(NEWEST, "1", "2", "3"), context) is RESTORE
    seen_now = {"Phone": ObservedValue(value="3", at=NOON)}
    assert with_earlier(seen_now, observed) == seen_now


@pytest.mark.parametrize(("after_our_write", "expected"), [(1, RESTORE), (0, TAKE), (-1, TAKE)])
def test_newest_is_ours_if_it_changed_after_our_write_that_was_the_last_one_in_the_org(
    after_our_write: int, expected: Decision
) -> None:
    """The rep's change came before that write, though it has its time, and the org's clock is ahead."""
    context = MergeContext(
        local_changed_at=NOON + timedelta(milliseconds=after_our_write),
        remote_changed_at=NOON + timedelta(minutes=1),
        written_at=NOON,
    )
    assert decide(versions(NEWEST, "1", "2", "3"), context) is expected


def test_observed_value_keeps_the_first_time_at_which_it_was_seen() -> None:
    first = {"Phone": ObservedValue(value="3", at=NOON, author="Jo (005)"), "Fax": ObservedValue(value="1", at=NOON)}
    later = {"Phone": ObservedValue(value="3", at=NOON + timedelta(hours=1), author="Connector (005)")}
    other = {"Phone": ObservedValue(value="4", at=NOON + timedelta(hours=1))}
    assert with_earlier(later, first) == first
    assert with_earlier(other, first) == first | other
    assert load_observed(dump_observed(first)) == first
    assert load_observed(dump_observed({})) == {}
