"""Double entry in Postgres: accounts, transactions, entries, holds."""
