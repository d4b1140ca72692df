"""Orders, customers and products from files: our own form, or anybody's export by way of a profile."""

from connector.orders.importing.load import ImportReport, import_files
from connector.orders.importing.profile import load_profile

__all__ = ["ImportReport", "import_files", "load_profile"]
