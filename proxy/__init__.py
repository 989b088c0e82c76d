"""The public API under `/v1`: async, without Django middleware and without the ORM."""
