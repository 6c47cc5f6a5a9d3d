#!/usr/bin/env python
"""Django's command line, after the keys of a first start are in place (made under a lock, 0600)."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdmportal.settings")
    from mdmportal import first_start

    first_start.prepare()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
