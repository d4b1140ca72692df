"""Documents for customers: the invoice and the tracking page."""
