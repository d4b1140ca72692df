"""What customers get to see: the invoice, and the page on which they follow their order."""
