"""What orders, customers and products are, and what a write to the org is: plain values, no I/O."""
