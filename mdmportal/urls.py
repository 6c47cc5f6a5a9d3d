"""Every URL of the portal: the device endpoint first, then the admin."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("endpoint.urls")),
    path("admin/", admin.site.urls),
]
