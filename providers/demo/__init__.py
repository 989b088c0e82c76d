"""A model provider that needs no key: for the demo, for tests, and for a first look."""
