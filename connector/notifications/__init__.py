"""What customers and operators are sent about orders: composing it, rendering it, and the transports that carry it."""
