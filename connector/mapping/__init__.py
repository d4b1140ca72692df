"""Says which local value goes into which Salesforce field, as the files in `mappings/` have it.

Pure but for reading those files; it knows the model and nothing of the org's address, the database or a client.
"""

from connector.mapping.check import check
from connector.mapping.loader import load_mappings
from connector.mapping.mapper import EntityMapping, MappingSet

__all__ = ["EntityMapping", "MappingSet", "check", "load_mappings"]
