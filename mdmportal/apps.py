"""The project's own app: management commands, system checks, templates of pages that show several apps."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "mdmportal"
    verbose_name = "MDM Portal"

    def ready(self) -> None:
        from mdmportal import checks  # noqa: F401  (registers the checks)
