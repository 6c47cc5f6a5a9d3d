"""URLs that devices and their users call; exact, without redirects."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
