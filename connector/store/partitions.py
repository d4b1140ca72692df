"""The partition of an entity in the outbox: an account and everything that belongs to it are in one partition.

Each change has a slot, a number of 31 bits; its partition is the slot modulo `CONNECTOR_SYNC__PARTITIONS`.
"""

from __future__ import annotations

from zlib import crc32

from connector.model.customer import Customer
from connector.model.order import Order
from connector.model.order_return import OrderReturn
from connector.model.product import Product


def slot_of(entity: Customer | Product | Order | OrderReturn) -> int:
    """Return the slot of an entity: that of its customer for an order and a return, else its own."""
    return slot_of_key(entity.customer.key if isinstance(entity, Order | OrderReturn) else entity.key)


def slot_of_key(key: str) -> int:
    """Return the slot of a customer, and of its orders and returns, or of a product, by the key of the customer or the
    product. It is the same on every machine."""
    return crc32(key.encode()) & 0x7FFFFFFF
