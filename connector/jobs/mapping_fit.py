"""Says why mappings do not fit an org."""

from __future__ import annotations

from collections.abc import Sequence

from connector.errors import ConnectorError, MappingError, RetryClass, SalesforceError
from connector.mapping import MappingSet
from connector.mapping.check import missing_key_fields
from connector.outbound.org_profile import OrgProfile


def misfit_error(problems: Sequence[str], mappings: MappingSet, profile: OrgProfile) -> ConnectorError:
    """The error for these problems, which `mapping.check.check` found: a MappingError with all of them; but one
    sentence, as a SalesforceError, if the org shows none of our fields."""
    keys = missing_key_fields(mappings, profile.describes)
    if not keys:
        return MappingError(problems)
    others = len(problems) - len(keys)
    more = f", and {others} others" if others else ""
    return SalesforceError(
        f"The org has none of the connector's fields, or hides them from this user: {', '.join(keys)}{more}.",
        hint="`connector org deploy` deploys them and assigns the permission set to our user; then try again.",
        retry_class=RetryClass.CONFIG,
    )
