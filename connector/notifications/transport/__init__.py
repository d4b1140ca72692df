"""Transports for notifications: one interface, implemented for SMTP and for a webhook. They do not depend on orders."""
