"""`manage.py rotate_keys`: everything at rest under the first of PORTAL_ENCRYPTION_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from mdmportal.key_rotation import rotate_everything
from operations import audit


class Command(BaseCommand):
    help = "Encrypt everything anew under the first of PORTAL_ENCRYPTION_KEYS; afterwards the others may go."

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = 0
        for column in rotate_everything():
            unreadable += column.unreadable
            words = f"{column.rewritten} rewritten, {column.current} were current, {column.unreadable} unreadable"
            self.stdout.write(f"{column.label}: {words}")
        audit.record(None, "keys.rotate", subject=None, now=timezone.now(), details={"unreadable": unreadable})
        if unreadable:
            raise CommandError(f"{unreadable} value(s) are opened by none of the keys: keep every key you still have.")
