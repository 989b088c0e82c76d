"""The demo's mailbox. Its address is there in the demo alone."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from dashboard import mailbox
from dashboard.views.people.access import kept, show


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """What was sent, to everybody."""
    return kept(show(request, "mailbox", {"mails": mailbox.newest()}))
