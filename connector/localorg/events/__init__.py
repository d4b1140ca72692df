"""The event bus: platform events and change events, retained for a time. Pub/Sub API and CometD deliver them."""

from connector.localorg.events.bus import Event, EventBus

__all__ = ["Event", "EventBus"]
