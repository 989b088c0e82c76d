"""One line per page."""

from django.urls import path

from dashboard.views import home, pay

app_name = "dashboard"

urlpatterns = [
    path("", home.index, name="home"),
    path("pay/<str:token>", pay.show, name="pay"),
]
