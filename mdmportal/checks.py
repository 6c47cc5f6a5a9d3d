"""System checks: each mistake in the environment gets an id and a hint, never a stack trace."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register


@register()
def environment_can_be_read(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001 (Django's contract)
    """portal.E001: a variable that could not be used."""
    return [
        Error(
            f"{mistake.name}: {mistake.reason}.",
            hint=f"Correct {mistake.name}; .env.example describes it.",
            id="portal.E001",
        )
        for mistake in settings.ENVIRONMENT.mistakes
    ]
