"""The page behind the link in an assistant's message."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from config.kit import ids
from paywalls.links import read_checkout_token
from paywalls.models import EndUser


@require_safe
def show(request: HttpRequest, token: str) -> HttpResponse:
    """What a person and the developer can do. It shows no balance: whoever has the link sees it.

    Raises: Http404 for a link that is not ours.
    """
    user_id = read_checkout_token(token)
    user = EndUser.objects.select_related("paywall").filter(pk=user_id).first() if user_id else None
    if user is None:
        raise Http404
    context = {"paywall_name": user.paywall.name, "reference": ids.encode("usr", user.pk)}
    response = render(request, "pay/checkout.html", context)
    response["X-Robots-Tag"] = "noindex, nofollow"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response
