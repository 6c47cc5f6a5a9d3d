"""After a rotation the first key alone opens everything, and nothing that cannot be opened is touched."""

import io
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from certificates.encryption import EncryptionError
from certificates.models import PushCertificate
from mdmportal.key_rotation import rotate_everything

pytestmark = pytest.mark.django_db

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def stored(settings, now):
    settings.PORTAL_ENCRYPTION_KEYS = (OLD,)
    for number in range(3):
        PushCertificate.objects.create(
            topic="com.apple.mgmt.External.1",
            subject="CN=x",
            sha256=bytes([number]) * 32,
            certificate_pem="",
            private_key_pem=b"key %d" % number,
            not_before=now,
            not_after=now + timedelta(days=1),
            uploaded_at=now,
        )
    settings.PORTAL_ENCRYPTION_KEYS = (NEW, OLD)
    return settings


def column(label="certificates.PushCertificate.private_key_pem"):
    return next(one for one in rotate_everything() if one.label == label)


def values():
    return sorted(bytes(one.private_key_pem) for one in PushCertificate.objects.all())


def test_the_first_key_alone_opens_everything_afterwards(stored):
    assert column().rewritten == 3
    stored.PORTAL_ENCRYPTION_KEYS = (NEW,)
    assert values() == [b"key 0", b"key 1", b"key 2"]


def test_without_a_rotation_the_first_key_alone_opens_nothing(stored):
    stored.PORTAL_ENCRYPTION_KEYS = (NEW,)
    with pytest.raises(EncryptionError):
        values()


def test_a_second_rotation_rewrites_nothing(stored):
    column()
    assert (column().rewritten, column().current) == (0, 3)


def test_what_no_key_opens_is_counted_and_kept(stored):
    with connection.cursor() as cursor:
        cursor.execute("SELECT private_key_pem FROM certificates_pushcertificate ORDER BY id")
        before = [bytes(row[0]) for row in cursor.fetchall()]
        stored.PORTAL_ENCRYPTION_KEYS = (NEW,)
        with pytest.raises(CommandError, match="3 value"):
            call_command("rotate_keys", stdout=io.StringIO())
        cursor.execute("SELECT private_key_pem FROM certificates_pushcertificate ORDER BY id")
        assert [bytes(row[0]) for row in cursor.fetchall()] == before
