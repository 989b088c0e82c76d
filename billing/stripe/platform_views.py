"""Where Stripe's events about the operator's own account arrive: hints to look."""

from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.stripe import person_orders, platform
from billing.withdrawals.models import Destination
from config.kit import ids
from config.kit.errors import InvalidRequestError


@csrf_exempt
@require_POST
def receive(request: HttpRequest, path: str) -> HttpResponse:
    """200 for what Stripe signed, whether or not it is about us; 400 for all else."""
    try:
        signature = request.headers.get("Stripe-Signature", "")
        facts = platform.named(path, request.body, signature)
    except (InvalidRequestError, UnreadablePostError, RawPostDataException) as error:
        return JsonResponse({"error": {"message": str(error)}}, status=400)
    if withdrawal_id := ids.decode("wd", facts["withdrawal"]):
        with connection.cursor() as cursor:
            cursor.execute("SELECT billing_withdrawal_nudge(%s)", [withdrawal_id])
    person_orders.nudge(order=facts["order"], payment=facts["payment"])
    if facts["type"] == "account.updated":
        rows = Destination.objects.filter(kind=Destination.Kind.STRIPE, is_active=True)
        rows.filter(facts__account=facts["account"]).update(checked_at=None)
    return JsonResponse({"received": True})
