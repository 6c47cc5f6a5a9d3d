"""A certificate authority that is made once for the whole package, a clock, and devices."""

from collections.abc import Callable
from datetime import datetime

import pytest

from certificates import authority
from certificates.models import CertificateAuthority
from devices.groups import ensure_all_group
from devices.models import DeviceGroup
from tests.profiles.fleet import Clock, FakeDevice, enrollments


@pytest.fixture(scope="session")
def _authority_facts() -> dict[str, object]:
    """RSA keys take long to make; the process cache of `certificates.authority` then holds the signer as well."""
    made = authority._new_authority(datetime.fromisoformat("2026-11-23T11:00:00+00:00"))
    names = ("name", "certificate_der", "private_key_pem", "created_at", "not_after")
    return {name: getattr(made, name) for name in names}


@pytest.fixture
def signing(db: None, _authority_facts: dict[str, object]) -> CertificateAuthority:
    """The authority that signs what is published."""
    return CertificateAuthority.objects.create(**_authority_facts)


@pytest.fixture
def clock(now: datetime) -> Clock:
    return Clock(now)


@pytest.fixture
def everyone(db: None, now: datetime) -> DeviceGroup:
    return ensure_all_group(now)


@pytest.fixture
def make_device(db: None, clock: Clock) -> Callable[..., FakeDevice]:
    def make(*, platform: str = "iOS", **facts: object) -> FakeDevice:
        return FakeDevice(enrollments(1, clock.now, platform=platform)[0], clock, **facts)

    return make


@pytest.fixture
def device(make_device: Callable[..., FakeDevice]) -> FakeDevice:
    """An iPhone whose user has set no passcode yet."""
    return make_device()
