"""Check-ins that arrive at the same moment, on connections of their own."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from django.db import connection

from devices import invitations
from devices.enrollment import EnrollmentRefused, authenticate, token_update
from devices.models import Enrollment, Identity, Invitation
from tests.devices.enrolling import device, downloaded, hello, invitation, our_topic, token

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _push_certificate(now: datetime) -> Iterator[None]:
    our_topic(now)
    yield
    connection.close()


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What each call returned or raised, all started together."""
    barrier = threading.Barrier(len(calls))
    results: list[object] = [None] * len(calls)

    def run(place: int) -> None:
        barrier.wait()
        try:
            results[place] = calls[place]()
        except Exception as error:  # noqa: BLE001 (whatever it is, the test shows it)
            results[place] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=[place]) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_the_last_use_of_an_invitation_goes_to_exactly_one(now: datetime) -> None:
    invited = invitation(now)
    identities = [device(f"RACER-{number}") for number in range(4)]
    certificates = [downloaded(invited, now) for _ in identities]
    for identity, issued in zip(identities, certificates, strict=True):
        authenticate(hello(identity), issued, now=now)
    results = at_once(
        *(
            lambda identity=identity, issued=issued: token_update(token(identity), issued, now=now)
            for identity, issued in zip(identities, certificates, strict=True)
        )
    )
    refused = [result for result in results if isinstance(result, EnrollmentRefused)]
    assert len(refused) == 3, results
    assert Enrollment.objects.enrolled().count() == Invitation.objects.get().used_count == 1


def test_the_same_authenticate_twice_at_once_opens_one_enrollment(now: datetime) -> None:
    issued = downloaded(invitation(now), now)
    results = at_once(*[lambda: authenticate(hello(), issued, now=now)] * 3)
    assert len({result.pk for result in results if isinstance(result, Enrollment)}) == 1, results
    assert all(isinstance(result, Enrollment) for result in results), results
    assert Enrollment.objects.count() == Identity.objects.count() == 1


def test_two_certificates_that_claim_one_new_device_at_once_leave_one_enrolled(now: datetime) -> None:
    invited = invitation(now, uses=2)
    certificates = [downloaded(invited, now) for _ in range(2)]
    at_once(*(lambda issued=issued: authenticate(hello(), issued, now=now) for issued in certificates))
    assert Enrollment.objects.count() == 2
    results = at_once(*(lambda issued=issued: token_update(token(), issued, now=now) for issued in certificates))
    # The second finds itself archived by the first, which authenticated no earlier.
    assert sum(isinstance(result, EnrollmentRefused) for result in results) == 1, results
    assert Enrollment.objects.enrolled().count() == 1


def test_downloads_at_once_are_all_noted(now: datetime) -> None:
    invited = invitation(now)
    secrets = at_once(*[lambda: invitations.download(invited, now)] * 3)
    assert len(set(secrets)) == invited.downloads.count() == 3
