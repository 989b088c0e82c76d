"""Everything that moves money."""
