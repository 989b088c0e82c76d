"""One line per surface. The public API is not here: `config.asgi` sends it to the proxy."""

from importlib.util import find_spec

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path

admin.site.site_title = admin.site.site_header = "Paywalls"
admin.site.index_title = "Administration"

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", include("billing.urls")),
]
if find_spec("dashboard.urls"):
    urlpatterns.append(path("", include("dashboard.urls")))
