"""Settings and entry points, and helpers that know no domain. Imports no app."""
