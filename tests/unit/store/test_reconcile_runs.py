"""What the latest comparison of everything verified is kept, however many runs came after it."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from connector.model.reconciliation import Reconciliation, RecordState, RunState
from connector.store import reconcile_runs
from connector.store.engine import Store
from connector.store.inbound_tables import reconcile_runs as table


async def compare(store: Store, *, full: bool, verified: int) -> int:
    result = Reconciliation(limit=0)
    for number in range(verified):
        result.count("order", RecordState.VERIFIED, f"N-{number}")
    async with store.transaction() as uow:
        run = await reconcile_runs.begin(uow, "00D", full=full, scope={})
        await reconcile_runs.finish(uow, run, result, state=RunState.FINISHED, calls=1)
    return run


async def test_runs_of_selected_keys_do_not_push_out_the_comparison_of_everything(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_runs, "RUNS_KEPT", 2)
    for verified in (1, 2, 3):
        await compare(store, full=True, verified=verified)
    for _ in range(4):
        latest = await compare(store, full=False, verified=2)

    async with store.reader() as connection:
        verified = await reconcile_runs.latest(connection, "00D")
        newest = await reconcile_runs.latest(connection, "00D", full=False)
        kept = (await connection.execute(select(table.c.id).order_by(table.c.id))).scalars().all()
    assert verified is not None
    assert newest is not None
    assert (verified.verified, newest.verified) == (3, 2)
    assert kept == [2, 3, latest - 1, latest]
