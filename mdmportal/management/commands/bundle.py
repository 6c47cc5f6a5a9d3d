"""`manage.py bundle NAME`: a new bundle of requirement and capability files."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from profiles.composing import compose
from profiles.errors import ProfilesError
from profiles.models import DeliveryRule
from protocol.errors import MobileconfigError


class Command(BaseCommand):
    help = "Make a bundle: what is required, what is given for it, and when."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        for role in ("requirement", "capability"):
            parser.add_argument(f"--{role}", type=Path, action="append", default=[], metavar="FILE", help="repeatable")
        parser.add_argument("--rule", choices=DeliveryRule.values, default=DeliveryRule.AFTER_COMPLIANCE.value)
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            bundle = compose(
                options["name"],
                requirements=[path.read_bytes() for path in options["requirement"]],
                capabilities=[path.read_bytes() for path in options["capability"]],
                rule=options["rule"],
                actor=None,
                now=timezone.now(),
            )
        except (MobileconfigError, ProfilesError, OSError) as error:
            raise CommandError(str(error)) from error
        answer: dict[str, Any] = {"bundle": bundle.name, "identifier": bundle.identifier, "rule": bundle.delivery_rule}
        answer["payloads"] = bundle.payloads.count()
        self.stdout.write(json.dumps(answer) if options["json"] else f"{bundle.name}: {answer['payloads']} payload(s)")
