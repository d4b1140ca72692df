"""The event bus: platform events and change events, kept for their time, told by Pub/Sub API and CometD."""

from connector.localorg.events.bus import Bus, Event

__all__ = ["Bus", "Event"]
