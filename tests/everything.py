"""`make test`: everything this machine can run, and at the end what it could not and how to get it.

Three runs of pytest, whose own output is passed on: the suite on SQLite, what has a database on a PostgreSQL of our
own, and the tests that start real processes. The exit status is 0 only when each run passed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests import postgres

ROOT = Path(__file__).resolve().parent.parent
# These know nothing of a database; once is enough.
WITHOUT_DATABASE = ("tests/protocol", "tests/simulator")
NO_TESTS = 5


def missing() -> list[str]:
    """One sentence for each thing that the tests could use and this machine does not have."""
    lacks = []
    if postgres.binaries() is None:
        lacks.append("everything on PostgreSQL: apt-get install -y postgresql")
    if not (shutil.which("chromium") or os.environ.get("CHROMIUM")):
        lacks.append("the pages in a browser: apt-get install -y chromium")
    if not shutil.which("pki"):
        lacks.append(
            "strongSwan as a SCEP client: apt-get install -y strongswan-pki libstrongswan-standard-plugins "
            "libstrongswan-extra-plugins"
        )
    lacks += [
        f"what {tool} says of our bytes: apt-get install -y {tool}"
        for tool in ("openssl", "curl")
        if not shutil.which(tool)
    ]
    if not os.environ.get("APPLE_SCHEMA_DIR"):
        lacks.append("the comparison with Apple's schema: set APPLE_SCHEMA_DIR to a copy of apple/device-management")
    return lacks


def run(title: str, *arguments: str, environment: Mapping[str, str]) -> bool:
    """One run of pytest; True when it passed."""
    print(f"\n=== {title}", flush=True)
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    status = subprocess.run(command, cwd=ROOT, env=dict(environment), check=False).returncode
    return status in {0, NO_TESTS}


def main() -> int:
    plain = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "TEST_POSTGRESQL_URL"}}
    lacks = missing()
    results = {"SQLite": run("the suite on SQLite", "-n", "2", "-m", "not end_to_end", environment=plain)}
    with ExitStack() as stack:
        if postgres.binaries() is not None:
            server = stack.enter_context(postgres.running())
            ignored = [f"--ignore={folder}" for folder in WITHOUT_DATABASE]
            here = "not end_to_end and not browser and not foreign"
            results["PostgreSQL"] = run(
                "the suite on PostgreSQL", "-n", "2", "-m", here, *ignored,
                environment={**plain, "DATABASE_URL": server.url},
            )  # fmt: skip
            plain = {**plain, "TEST_POSTGRESQL_URL": server.url}
        results["end to end"] = run("end to end, with real processes", "-m", "end_to_end", environment=plain)
    print("\n=== " + ", ".join(f"{name}: {'passed' if good else 'FAILED'}" for name, good in results.items()))
    for line in lacks:
        print(f"skipped on this machine: {line}")
    if not lacks:
        print("nothing was skipped for want of a tool")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
