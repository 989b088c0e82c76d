"""Stripe for a paywall: keys, orders, the inbox, reversals. Nothing else uses the SDK."""
