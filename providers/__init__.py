"""Reaching models: connections, catalogue, routing, and the client that calls providers."""
