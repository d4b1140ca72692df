"""Bulk API 2.0: jobs that take or give CSV, worked off in the background as the platform would."""

from connector.localorg.bulk.job_store import Job, JobStore

__all__ = ["Job", "JobStore"]
