"""The local order lifecycle."""
