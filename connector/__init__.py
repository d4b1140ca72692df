"""Syncs orders, customers and products between your SQL database and Salesforce, both ways."""
