"""The tools behind ./run. The product never imports them."""
