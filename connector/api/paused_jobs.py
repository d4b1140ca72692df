"""Says which jobs are paused, and how they go on."""

from __future__ import annotations

from collections.abc import Sequence

from connector.model.job_run import PausedJob


def describe_paused_jobs(jobs: Sequence[PausedJob]) -> tuple[str, str]:
    """A sentence that says it, and one that says what to do; `jobs` are one at least."""
    by_pause: dict[str, list[str]] = {}
    for job in jobs:
        by_pause.setdefault(f"by {job.by} since {job.since:%Y-%m-%d %H:%M:%S} UTC", []).append(job.name)
    listed = ", ".join(f"{', '.join(names)} ({pause})" for pause, names in by_pause.items())
    name = jobs[0].name if len(jobs) == 1 else "NAME"
    return (
        f"Paused, so that the service does not run {'it' if len(jobs) == 1 else 'them'}: {listed}.",
        f"`connector jobs resume {name}` lets {'it' if len(jobs) == 1 else 'each'} go on.",
    )
