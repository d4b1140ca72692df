"""The rules that a company sets for its orders, and verification by them."""
