"""The address policy of this installation, from its settings."""

from functools import cache
from urllib.parse import urlsplit

from django.conf import settings

from config.kit import egress


def policy() -> egress.Policy:
    """What the operator allows, our own addresses, and the demo provider if there is one."""
    return _policy(
        tuple(settings.EGRESS_ALLOW), str(settings.BASE_URL), str(settings.DEMO_PROVIDER_URL)
    )


@cache
def _policy(allow: tuple[str, ...], base_url: str, demo_url: str) -> egress.Policy:
    demo = (urlsplit(demo_url).netloc,) if demo_url else ()
    return egress.policy((*allow, *demo), own=(base_url,))
