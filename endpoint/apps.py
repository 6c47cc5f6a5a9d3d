"""Django's registration of the app."""

from django.apps import AppConfig


class EndpointConfig(AppConfig):
    name = "endpoint"
