"""Import orders, customers and products from files: in the connector's own format, or in any other by a profile."""

from connector.orders.importing.grammar import load_profile
from connector.orders.importing.load import import_files
from connector.orders.importing.report import ImportReport

__all__ = ["ImportReport", "import_files", "load_profile"]
