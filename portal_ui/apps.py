"""Django's registration of the app."""

from django.apps import AppConfig


class PortalUiConfig(AppConfig):
    name = "portal_ui"
