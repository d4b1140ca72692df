"""A record of ours that somebody deleted in the org, or merged into another one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

REFUSED_AS_DELETED = "ENTITY_IS_DELETED"
"""The code of a refusal because the record to be changed is deleted in the org."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeletedRecord:
    """The record `record_id` of an entity is deleted in the org; `deleted_by` is the user's ID there, as far as known.

    `merged_into` is the record that took its place without becoming the entity's own, because it belongs to another
    one: what refers to the entity here refers to that record there.
    """

    entity: str
    key: str
    record_id: str
    deleted_at: datetime
    deleted_by: str | None = None
    merged_into: str | None = None
