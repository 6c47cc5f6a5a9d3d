"""`manage.py create_admin`: an administrator with a new password, which is shown once."""

import json
import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from mdmportal import start
from operations import audit


class Command(BaseCommand):
    help = "Make an administrator, or give an existing one a new password. The password is shown once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", default="admin")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(15)
        user = start.administrator(options["name"], password)
        audit.record(None, "administrator.password_set", subject=user, now=timezone.now())
        if options["json"]:
            self.stdout.write(json.dumps({"name": user.get_username(), "password": password}))
        else:
            self.stdout.write(f"Name:     {user.get_username()}\nPassword: {password}")
