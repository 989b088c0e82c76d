"""Pages of people with a wallet of their own: Shared mode."""
