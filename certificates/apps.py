"""Django's registration of the app."""

from django.apps import AppConfig


class CertificatesConfig(AppConfig):
    name = "certificates"
