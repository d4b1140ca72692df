"""Bulk API 2.0: jobs that take or return CSV, processed in the background. `bulk_v1` is Bulk API 1.0 (frozen)."""

from connector.localorg.bulk.job_store import Job, JobStore

__all__ = ["Job", "JobStore"]
