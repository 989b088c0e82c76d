"""How often somebody may try, counted in Valkey in fixed windows.

What it guards is also bounded in the database; where Valkey does not answer, nobody may.
"""

import hashlib
from typing import Final

import redis
import structlog
from django.core.cache import cache

log = structlog.get_logger(__name__)

HOUR_S: Final = 3_600
DAY_S: Final = 86_400


def try_take(what: str, whose: str, *, most: int, seconds: int) -> bool:
    """Counts one try; False when there were `most` in this window already, or nobody can count."""
    digest = hashlib.sha256(whose.encode()).hexdigest()[:32]
    key = f"pace:{what}:{seconds}:{digest}"
    try:
        cache.add(key, 0, timeout=seconds)
        return cache.incr(key) <= most
    except ValueError:  # The window ended between the two: this is the first of the next.
        cache.set(key, 1, timeout=seconds)
        return most > 0
    except redis.RedisError as problem:
        log.warning("pace.unavailable", what=what, problem=type(problem).__name__)
        return False
