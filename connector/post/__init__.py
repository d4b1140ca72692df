"""The way out of the house for messages: one contract, and each way that there is. It knows nothing of orders."""
