"""One line per page."""

from django.conf import settings
from django.urls import path

from dashboard.views import docs, home, pay, refill, wallet
from dashboard.views.people import (
    account,
    activity,
    apps,
    authorize,
    login,
    mailbox,
    stop,
    terms,
    topup,
)
from dashboard.views.people import home as people

app_name = "dashboard"

urlpatterns = [
    path("", home.index, name="home"),
    path("docs/", docs.show, name="docs"),
    path("docs/<slug:name>/", docs.show, name="docs-page"),
    path("docs/decisions/<slug:name>/", docs.show_decision, name="docs-decision"),
    path("pay/<str:token>", pay.show, name="pay"),
    path("pay/<str:token>/order/<str:order_id>", pay.follow, name="pay-order"),
    path("pay/<str:token>/order/<str:order_id>/go", pay.go, name="pay-go"),
    path("pay/<str:token>/refill", refill.by_pay_link, name="pay-refill"),
    path("pay/<str:token>/refill/card", refill.card_by_pay_link, name="pay-refill-card"),
    path("receipt/<str:token>", wallet.show_receipt, name="receipt"),
    path("authorize/<str:token>", authorize.ask, name="authorize"),
    path("authorize/<str:token>/done", authorize.done, name="authorize-done"),
    path("stop/<str:token>", stop.index, name="stop"),
    path("wallet", people.index, name="person-home"),
    path("wallet/account", account.index, name="person-account"),
    path("wallet/account/close", account.close, name="person-close"),
    path("wallet/activity", activity.index, name="person-activity"),
    path("wallet/activity.csv", activity.export, name="person-activity-csv"),
    path("wallet/apps/<str:grant_id>", apps.index, name="person-app"),
    path("wallet/login", login.ask, name="person-login"),
    path("wallet/login/code", login.enter_code, name="person-code"),
    path("wallet/login/link/<str:token>", login.follow_link, name="person-link"),
    path("wallet/logout", login.sign_out, name="person-logout"),
    path("wallet/terms", terms.accept, name="person-terms"),
    path("wallet/topup", topup.index, name="person-topup"),
    path("wallet/topup/<str:order_id>", topup.follow, name="person-order"),
    # A Default user's page: its tokens are longer than any of the words above.
    path("wallet/<str:token>", wallet.show_wallet, name="wallet"),
    path("wallet/<str:token>/refill", refill.by_wallet_link, name="wallet-refill"),
    path("wallet/<str:token>/refill/card", refill.card_by_wallet_link, name="wallet-refill-card"),
]
if settings.DEMO_MAILBOX:
    urlpatterns.append(path("demo/mailbox", mailbox.index, name="mailbox"))
