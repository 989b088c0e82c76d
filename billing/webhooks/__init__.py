"""Events out: what is told to developers' systems, and how it reaches them."""
