"""Django's registration of the app."""

from django.apps import AppConfig


class EndpointConfig(AppConfig):
    name = "endpoint"

    def ready(self) -> None:
        from endpoint import checks, log_filter  # noqa: F401 (checks register themselves with Django)

        log_filter.install()
