"""Orders, customers and products from files: our own form, or anybody's export by way of a profile."""

from connector.orders.importing.grammar import load_profile
from connector.orders.importing.load import import_files
from connector.orders.importing.report import ImportReport

__all__ = ["ImportReport", "import_files", "load_profile"]
