"""Queries that read across several tables."""
