"""Earnings of Shared paywalls on their way to the teams that earned them."""
