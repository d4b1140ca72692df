"""Field mapping: reads the files in `mappings/`, checks them, and maps local entities to Salesforce records.

It knows the model, and does no I/O except reading those files.
"""

from connector.mapping.check import check
from connector.mapping.loader import load_mappings
from connector.mapping.mapper import EntityMapping, MappingSet

__all__ = ["EntityMapping", "MappingSet", "check", "load_mappings"]
