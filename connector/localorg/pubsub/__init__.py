"""The Pub/Sub API of the org: a gRPC server over the event bus."""
