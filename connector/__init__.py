"""Syncs orders, customers and products from your SQL database to Salesforce Order, Account and Product2."""
