"""HTTP: authentication, permissions, request bodies, responses and problem documents; no decisions about orders."""
