"""Lints mapping files in a thread, so that a large one does not hold up the service, and keeps the latest results."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Hashable

from connector.jobs.mappings.org_profiles import StoredOrg
from connector.mapping.lint import LintOrg, LintResult, lint
from connector.mapping.text_folder import Texts
from connector.mapping.version import digest_of

MOST_KEPT = 12
"""Results: the active version and a draft, by the orgs that are known."""


class LintCache:
    """The results for files as they are, and for an org as it said of itself."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Hashable, LintResult] = OrderedDict()

    async def lint(self, texts: Texts, org: StoredOrg | None = None, what: LintOrg | None = None) -> LintResult:
        """The problems of these files; `what` lint needs of the org."""
        key: Hashable = digest_of(texts)
        if org is not None and what is not None:
            shape = (what.persons, what.returns, what.returns_expected)
            key = (key, org.profile.org_id, org.fetched_at, *shape)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        result = await asyncio.to_thread(lint, texts, what)
        self._kept[key] = result
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return result
