"""Stock of orders: allocation, choice of warehouses, stock moves, pick lists, carrier updates."""
