"""Addresses that other systems call; the public API is the proxy's."""

from django.urls import path

from billing.stripe import platform_views, views

app_name = "billing"

urlpatterns = [
    path("webhooks/stripe-platform/<str:path>", platform_views.receive, name="stripe-platform"),
    path("webhooks/stripe/<str:path>", views.receive, name="stripe-webhook"),
]
