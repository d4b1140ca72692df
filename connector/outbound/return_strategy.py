"""Chooses how an org represents returns: as reduction orders, as Return Orders, or as fields of the order.

Reduction orders and Return Orders are features that an admin must enable. Describe does not show whether reduction
orders are on, because their fields are always there. The first return that is sent finds out, and the answer is cached
with the org's metadata.
"""

from __future__ import annotations

from connector.mapping import MappingSet
from connector.model.change import EntityKind
from connector.outbound.org_discovery import get_flag, set_flag
from connector.outbound.org_profile import OrgProfile
from connector.outbound.results import WriteResult
from connector.settings.salesforce import Returns
from connector.store.engine import Store

FIELD = "IsReductionOrder"


class ReturnStrategy:
    """The representation of returns by `setting` (CONNECTOR_SALESFORCE__RETURNS), as far as this org supports it."""

    def __init__(self, mappings: MappingSet, profile: OrgProfile, setting: Returns, store: Store) -> None:
        self._mappings = mappings
        self._profile = profile
        self._setting = setting
        self._store = store

    async def choose_mappings(self) -> MappingSet:
        """The mappings, with the return mapping that is to be used."""
        match self._setting:
            case Returns.FIELDS:
                return self._mappings.with_returns(None)
            case Returns.RETURN_ORDER:
                return self._mappings.with_returns(self._mappings.return_order)
            case Returns.AUTO if await get_flag(self._store, self._profile.org_id, FIELD) is False:
                return self._mappings.with_returns(None)
        return self._mappings.with_returns(self._mappings.reduction)

    async def note_unsupported(self, results: list[WriteResult]) -> list[WriteResult]:
        """Remember that the org has no reduction orders if `results` show it, and return the results that show it.

        Only with the setting `auto`. If reduction orders were set explicitly, such results stay refusals.
        """
        unsupported = [result for result in results if self._setting is Returns.AUTO and _is_unsupported(result)]
        if unsupported:
            await set_flag(self._store, self._profile.org_id, FIELD, False)
        return unsupported


def _is_unsupported(result: WriteResult) -> bool:
    refusal = result.refusal
    return (
        result.pending.change.entity is EntityKind.RETURN
        and refusal is not None
        and (FIELD in (refusal.field or "") or FIELD in refusal.message)
    )
