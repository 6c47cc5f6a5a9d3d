"""A lineage with its first profile under a fake Apple's roots, an API key, and a clock that tests move."""

from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.mobileprovision import read_provisioning_profile
from provisioning import lineages
from provisioning.models import ApiKey, Lineage, Policy, Program, Source
from tests.protocol.provisioning_files import NOW, apple, in_house, roots
from tests.provisioning.fake_apple import FakeApple


class Clock:
    """A moment that tests move."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **amount: float) -> datetime:
        self.now += timedelta(**amount)
        return self.now


@pytest.fixture(scope="session")
def extra_roots(tmp_path_factory):
    path = tmp_path_factory.mktemp("roots") / "fake-apple.pem"
    path.write_bytes(apple().root.certificate.public_bytes(Encoding.PEM))
    return str(path)


@pytest.fixture
def fake_roots(settings, extra_roots):
    """Profiles of the fake Apple are believed."""
    settings.PROVISIONING_EXTRA_ROOTS = extra_roots


@pytest.fixture
def lineage_clock() -> Clock:
    return Clock(NOW + timedelta(hours=1))


def read(data: bytes):
    return read_provisioning_profile(data, roots=roots())


@pytest.fixture
def lineage(db, fake_roots, lineage_clock) -> Lineage:
    """One that renews by itself, with an API key."""
    profile = lineages.adopt(read(in_house()), source=Source.UPLOAD, actor=None, now=lineage_clock.now)
    made = profile.lineage
    made.policy = Policy.AUTO
    made.save()
    ApiKey.objects.create(
        team=made.team, program=Program.ENTERPRISE, key_id="2X9R4HXF34", issuer_id="issuer", private_key=b"SECRET-P8",
        added_at=lineage_clock.now,
    )  # fmt: skip
    return made


@pytest.fixture
def portal(lineage_clock) -> FakeApple:
    return FakeApple(lineage_clock)


def read_by(data: bytes):
    """Read under the roots of the settings."""
    return read_provisioning_profile(data, roots=lineages.roots())
