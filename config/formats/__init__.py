"""How dates are shown, by language."""
