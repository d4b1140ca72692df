"""Mappings in the console: their fields row by row beside their text, checked while one types; versions and plans."""
