"""The Pub/Sub API of the org: events by gRPC, decoded by their Avro schemas. It knows nothing of orders."""
