"""Django's registration of the app."""

from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "profiles"
