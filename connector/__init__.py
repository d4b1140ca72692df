"""Keeps a company's order lifecycle and its Salesforce org telling the same story."""
