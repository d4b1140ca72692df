"""Posting to an HTTP endpoint of the company, signed as Standard Webhooks specifies."""
