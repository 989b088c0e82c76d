"""What stands at the root: what this is, and where to go."""

from typing import Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

REFERENCE_PATH: Final = "/v1/openapi.json"


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """The same for everyone."""
    return render(request, "home.html", {"reference_url": REFERENCE_PATH})
