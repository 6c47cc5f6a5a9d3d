#!/usr/bin/env python
"""Django's command line, after the keys of a first start are in place (made under a lock, 0600)."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mdmportal.settings")
    from mdmportal import first_start
    from mdmportal.demo import environment

    command = sys.argv[1] if len(sys.argv) > 1 and not {"-h", "--help"} & set(sys.argv) else ""
    if command == "demo":
        environment.apply(os.environ, sys.argv)
    elif command != "up":
        environment.attach(os.environ)
    first_start.prepare()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
