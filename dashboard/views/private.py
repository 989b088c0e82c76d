"""Pages whose address is all that guards them."""

from django.http import HttpResponse


def kept_private(response: HttpResponse) -> HttpResponse:
    """The page as one that nobody indexes, keeps or passes on."""
    response["X-Robots-Tag"] = "noindex, nofollow"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response
