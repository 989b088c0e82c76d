"""Helpers without a domain noun: they know no app and no settings."""
