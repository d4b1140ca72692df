"""How this org shows returns: as reduction orders, as Return Orders, or on the order itself.

Both objects are features that an admin must enable. Describe does not tell whether reduction orders are on (their
fields are always there): the first return that is sent finds it out, and what it found is kept as long as what the org
told of itself.
"""

from __future__ import annotations

from connector.mapping import MappingSet
from connector.model.change import EntityKind
from connector.outbound.org_discovery import get_flag, set_flag
from connector.outbound.org_profile import OrgProfile
from connector.outbound.results import WriteResult
from connector.settings import Returns
from connector.store.engine import Store

FIELD = "IsReductionOrder"


class ReturnForm:
    """The form that is `wanted`, as far as this org has it."""

    def __init__(self, mappings: MappingSet, facts: OrgProfile, wanted: Returns, store: Store) -> None:
        self._mappings = mappings
        self._facts = facts
        self._wanted = wanted
        self._store = store

    async def mappings(self) -> MappingSet:
        """The mappings with those of returns that are to be used."""
        match self._wanted:
            case Returns.FIELDS:
                return self._mappings.returning(None)
            case Returns.RETURN_ORDER:
                return self._mappings.returning(self._mappings.return_order)
            case Returns.AUTO if await get_flag(self._store, self._facts.org_id, FIELD) is False:
                return self._mappings.returning(None)
        return self._mappings.returning(self._mappings.reduction)

    async def learned(self, pieces: list[WriteResult]) -> list[WriteResult]:
        """Those of `pieces` that found out that the org has no reduction orders; where reductions are insisted on, they
        stay what they are, refusals."""
        found = [piece for piece in pieces if self._wanted is Returns.AUTO and _unknown(piece)]
        if found:
            await set_flag(self._store, self._facts.org_id, FIELD, False)
        return found


def _unknown(piece: WriteResult) -> bool:
    refusal = piece.refusal
    return (
        piece.candidate.change.entity is EntityKind.RETURN
        and refusal is not None
        and (FIELD in (refusal.field or "") or FIELD in refusal.message)
    )
