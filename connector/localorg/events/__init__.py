"""The event bus: platform events and change events, kept for their time, told by Pub/Sub API and CometD."""

from connector.localorg.events.bus import Event, EventBus

__all__ = ["Event", "EventBus"]
