"""How long tests wait."""

from typing import Final

PATIENCE_S: Final = 45.0
"""For what should be there at once. Nobody waits so long but on a machine that is very busy, or for
what never comes: how soon it came is for no test to say."""
