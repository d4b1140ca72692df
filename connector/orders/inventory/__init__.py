"""Stock and orders: allocation, sourcing, moves of stock, pick lists."""
