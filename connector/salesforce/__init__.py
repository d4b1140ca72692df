"""Access to the Salesforce org: sign-in, calls, responses and the meaning of errors. It knows nothing of orders."""
