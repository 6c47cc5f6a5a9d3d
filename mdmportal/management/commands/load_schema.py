"""`manage.py load_schema PATH`: take in a newer release of Apple's schema, and show what it changes before it counts."""

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from profiles import schema_releases
from protocol.errors import SchemaError
from protocol.schema.archive import read_folder, read_zip


class Command(BaseCommand):
    help = "Load a checkout of Apple's device-management repository, or a ZIP file of it. Nothing counts without --activate."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path)
        parser.add_argument("--name", default="", help="default: the systems it speaks of")
        parser.add_argument("--activate", metavar="REASON", help="let it count at once; the reason is kept")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        path, now = options["path"], timezone.now()
        try:
            files = read_folder(path) if path.is_dir() else read_zip(path.read_bytes())
            release = schema_releases.load(files, name=options["name"], actor=None, now=now)
        except (SchemaError, OSError) as error:
            raise CommandError(f"{path}: {error}") from error
        if options["activate"]:
            schema_releases.activate(release, reason=options["activate"], actor=None, now=now)
        if options["json"]:
            answer = {"release": release.pk, "name": release.name, "counts": bool(options["activate"])}
            self.stdout.write(json.dumps({**answer, "changes": release.changes}))
            return
        self.stdout.write(
            f"{release.name}: {'counts from now on' if options['activate'] else 'loaded, does not count yet'}"
        )
        for kind, sentences in release.changes.items():
            self.stdout.write("\n".join([f"{kind}: {len(sentences)}", *(f"  {sentence}" for sentence in sentences)]))
