"""Django's registration of the app."""

from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "operations"
