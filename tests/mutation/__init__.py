"""F84: every guard of the product, taken out once, turns some test red."""
