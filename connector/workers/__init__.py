"""Engines: what makes the processes of the service push when changes were captured.

The outbox is the data, and leases decide who may send what (`outbound.lease_keeper`). An engine only wakes a worker; a
worker looks by itself, too, every `CONNECTOR_SYNC__PUSH_SECONDS`. So a wake-up that is lost, or comes twice, does no
harm.

`embedded` wakes the worker of the process that captured the change. `cluster` puts a job `drain(org, partition)` into
procrastinate's queue on the same PostgreSQL, and any worker takes it.
"""
