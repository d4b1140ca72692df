"""Notifications about orders to customers and operators: compose, render and transport them."""
