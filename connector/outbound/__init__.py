"""Local changes on their way to the org: captured, mapped, planned, written, and their outcome recorded."""
