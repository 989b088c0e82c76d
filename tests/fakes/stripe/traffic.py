"""How a test disturbs deliveries: held, late, lost, in another order."""

import random
from dataclasses import dataclass
from typing import Any


@dataclass
class Traffic:
    """How the next deliveries are disturbed."""

    holds: bool = False
    delay_s: int = 0
    drops: int = 0
    order: list[str] | str = "created"
    types: list[str] | None = None

    def direct(self, delivery: dict[str, Any], now: int) -> None:
        """Let a new delivery wait, or never start it."""
        if self.types is not None and delivery["type"] not in self.types:
            return
        if self.drops:
            self.drops -= 1
            delivery["state"] = "dropped"
        elif self.holds:
            delivery["state"] = "held"
        else:
            delivery["due_at"] = now + self.delay_s

    def sorted(self, held: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Held deliveries in the order in which they leave."""
        if self.order == "reverse":
            return held[::-1]
        if self.order == "shuffle":
            return random.sample(held, len(held))
        if isinstance(self.order, list):
            places = {kind: place for place, kind in enumerate(self.order)}
            return sorted(held, key=lambda delivery: places.get(delivery["type"], len(places)))
        return held
