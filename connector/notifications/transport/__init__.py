"""How a notification leaves: one contract and its implementations, SMTP and webhook. They know nothing of orders."""
