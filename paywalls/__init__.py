"""Who may spend, on what terms: tenants, keys, prices, limits, messages."""
