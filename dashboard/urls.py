"""One line per page."""

from django.urls import path

from dashboard.views import docs, home, pay, refill, wallet

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
    path("wallet/<str:token>", wallet.show_wallet, name="wallet"),
    path("wallet/<str:token>/refill", refill.by_wallet_link, name="wallet-refill"),
    path("wallet/<str:token>/refill/card", refill.card_by_wallet_link, name="wallet-refill-card"),
]
