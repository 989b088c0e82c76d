"""What the random operations are drawn from: few users, keys and references, so that they meet."""

from typing import Final

from hypothesis import strategies as st

USERS: Final = st.sampled_from(["ann", "bob", "cyd"])
AMOUNTS: Final = st.integers(1, 120)
WANTS: Final = st.integers(0, 150)
REFS: Final = st.none() | st.integers(0, 3)
PICKS: Final = st.integers(0, 30)
KEYS: Final = st.none() | st.tuples(st.integers(0, 2), st.integers(0, 1))
CRASHES: Final = st.sampled_from(["none"] * 12 + ["unsent", "unanswered"])
DAYS: Final = st.none() | st.integers(1, 3)
CAPS: Final = st.none() | st.dictionaries(
    st.sampled_from(["user", "key", "paywall"]),
    st.dictionaries(
        st.sampled_from(["concurrency", "requests_day", "spend_day", "spend_month"]),
        st.integers(0, 8),
        min_size=1,
        max_size=2,
    ),
    min_size=1,
)
SPENDING_CAP: Final = 60
"""Caps on spending are drawn as small as counts, and stand for so many nanos each."""


def scaled(caps: dict[str, dict[str, int]] | None) -> dict[str, dict[str, int]] | None:
    """Caps on money in nanos."""
    return caps and {
        subject: {k: n * SPENDING_CAP if k.startswith("spend") else n for k, n in kinds.items()}
        for subject, kinds in caps.items()
    }
