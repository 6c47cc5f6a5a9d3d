"""Django's registration of the app."""

from django.apps import AppConfig


class ProvisioningConfig(AppConfig):
    name = "provisioning"
