"""The page that an account link leads to."""

from html import escape

from tests.fakes.stripe import connect
from tests.fakes.stripe.http import Request, Response
from tests.fakes.stripe.pages import button, layout
from tests.fakes.stripe.routes import Desk
from tests.fakes.stripe.world import World


def onboard(world: World, request: Request, place: str) -> Response:
    """`place`: account and link. A link that is used or too old goes to its refresh URL.

    Raises: NotFoundError
    """
    account_id, _, link_id = place.partition("/")
    realm, account = world.realm_of(account_id)
    link = account.get("_link", {})
    if link.get("id") != link_id or link["expires_at"] <= world.now():
        return Response.redirect(link.get("refresh_url", "/"))
    if request.method == "POST":
        if request.form().get("action") == "finish":
            connected = world.realm(account_id, livemode=realm.livemode)
            connect.onboard(Desk(world, connected), account)
        return Response.redirect(link["return_url"])
    name = escape(account["email"] or account_id)
    body = (
        f"<h1>Get paid</h1><p>{name} answers all questions about who they are.</p>"
        f"<form method='post'>{button('finish', 'Finish', 'main')}{button('later', 'Later')}</form>"
    )
    return layout("Get paid", body)
