"""Behind the link in a mail: stop an app without signing in. Looking stops nothing."""

from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from dashboard.views.people.access import kept, show
from paywalls import grants, links
from paywalls.models import Grant


@require_http_methods(["GET", "HEAD", "POST"])
def index(request: HttpRequest, token: str) -> HttpResponse:
    """Shows which app, and stops it with the button.

    Raises: Http404 for a link that is not ours.
    """
    grant_id = links.read_revoke_token(token)
    found = grant_id and (
        Grant.objects.select_related("paywall__team", "person").filter(pk=grant_id).first()
    )
    if not found:
        raise Http404
    if request.method == "POST":
        with transaction.atomic(durable=True):
            found = grants.revoke(found, actor=found.person.public_id)
    facts = {
        "app": found.paywall.name,
        "team": found.paywall.team.name,
        "is_test": not found.livemode,
        "is_stopped": found.revoked_at is not None,
    }
    return kept(show(request, "stop", facts))
