"""Django's registration of the app."""

from django.apps import AppConfig


class DevicesConfig(AppConfig):
    name = "devices"
