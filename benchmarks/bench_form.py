"""Milliseconds and bytes of payload forms: opened empty, opened with every key, posted with every key and shown again.

    python -m benchmarks.bench_form
No server and no database: what `profiles.forms` alone costs. The first time in a process puts the words together.
"""

import gzip
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import django


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds, and what the work gave."""
    start = time.perf_counter()
    result = work()
    return (time.perf_counter() - start) * 1000, result


def main() -> None:
    """Print one line per payload and way of opening it."""
    django.setup()
    from profiles.forms import PayloadForm
    from protocol.schema import packaged
    from tests.profiles.forms.page import Page
    from tests.profiles.forms.test_every_key import filled

    catalogue = packaged()
    for variant in (
        "com.apple.applicationaccess",
        "com.apple.vpn.managed",
        "com.apple.TCC.configuration-profile-policy",
    ):
        facts = catalogue.payloads[variant]
        everything = {key.name: filled(key) for key in facts.keys}

        def show(content: dict[str, Any], data: Any = None, files: Any = None, *, facts: Any = facts) -> str:
            return str(PayloadForm(facts, catalogue=catalogue, content=content, data=data, files=files))

        for words, content in (("first", {}), ("empty", {}), ("full", everything)):
            took, html = timed(partial(show, content))
            print(
                f"{variant:45} {words:6} {took:7.1f} ms {len(html):8} bytes {len(gzip.compress(html.encode())):7} gzip"
            )
        took, _ = timed(partial(show, everything, *Page(html).post()))
        print(f"{variant:45} posted {took:7.1f} ms")


if __name__ == "__main__":
    main()
