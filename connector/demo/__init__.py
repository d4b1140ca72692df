"""A shop that sells by itself: sample orders and their lives."""
