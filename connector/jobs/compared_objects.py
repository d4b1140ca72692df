"""Which objects of the org are compared, and how, by the mappings and by what the org has."""

from __future__ import annotations

from typing import Any

from connector.inbound.reconcile.comparison import ComparisonRules, RecordComparison
from connector.inbound.reconcile.org_side import ComparedObject
from connector.mapping.line_fields import edited_fields
from connector.mapping.mapper import EntityMapping, MappingSet
from connector.model.change import EntityKind
from connector.outbound.frozen_fields import SET_ONCE
from connector.outbound.org_profile import OrgProfile
from connector.settings.inbound import InboundSettings


def list_compared_objects(
    mappings: MappingSet, profile: OrgProfile, kinds: frozenset[EntityKind], settings: InboundSettings
) -> list[ComparedObject]:
    """The objects to read, parents first, each with all mapped records of it."""
    comparisons: dict[str, list[RecordComparison]] = {}
    parents: dict[str, EntityMapping[Any]] = {}
    for mapping in sorted(mappings, key=lambda item: list(EntityKind).index(item.kind)):
        if mapping.kind not in kinds:
            continue
        merged = mapping.kind is not EntityKind.RETURN
        for spec in mapping.spec.records:
            describe = profile.describes[spec.sobject]
            edited = edited_fields(spec, settings.changed_lines) if merged else frozenset()
            rules = ComparisonRules(ignored=SET_ONCE, edited=edited, categories=profile.statuses)
            comparisons.setdefault(spec.sobject, []).append(RecordComparison(spec, describe, rules, merged=merged))
            if spec is not mapping.spec.record:
                parents[spec.sobject] = mapping
    order = sorted(comparisons, key=lambda name: (name in parents, list(comparisons).index(name)))
    return [
        ComparedObject(
            sobject=sobject,
            describe=profile.describes[sobject],
            comparisons=tuple(comparisons[sobject]),
            parent=parents[sobject].sobject if sobject in parents else None,
            parent_key=parents[sobject].external_id if sobject in parents else None,
        )
        for sobject in order
    ]


def record_types_of(profile: OrgProfile) -> dict[tuple[str, str], str]:
    return {
        (sobject, item.name): item.id
        for sobject, describe in profile.describes.items()
        for item in describe.record_types
    }
