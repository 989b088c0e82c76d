"""Where Stripe's events arrive: nothing but checking and storing."""

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing.stripe import inbox
from billing.stripe.models import StripeAccount


@csrf_exempt
@require_POST
def receive(request: HttpRequest, path: str) -> HttpResponse:
    """200 once it is stored, also when it was before; 400 for what Stripe did not sign.

    Raises: Http404.
    """
    account = StripeAccount.objects.filter(path=path).first()
    if account is None:
        raise Http404
    try:
        inbox.receive(account, request.body, request.headers.get("Stripe-Signature", ""))
    except (inbox.NotFromStripeError, UnreadablePostError, RawPostDataException) as error:
        return JsonResponse({"error": {"message": str(error)}}, status=400)
    return JsonResponse({"received": True})
