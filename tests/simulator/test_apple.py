"""The fake Apple makes certificates of Apple's shape, once."""

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from simulator import apple
from simulator.errors import AppleError

NOW = datetime(2030, 1, 2, tzinfo=UTC)


def test_the_topic_is_the_subject_uid_of_the_push_certificate(tmp_path: Path) -> None:
    made = apple.make(tmp_path / "apple", now=NOW)
    certificate = x509.load_pem_x509_certificate(made.push_certificate.read_bytes())
    assert certificate.subject.get_attributes_for_oid(NameOID.USER_ID)[0].value == made.topic
    assert made.topic.startswith("com.apple.mgmt.External.")
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca.read_bytes()))


def test_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    made = apple.make(tmp_path, now=NOW)
    for key in (made.push_key, made.server_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_complete_folder_is_kept(tmp_path: Path) -> None:
    first = apple.make(tmp_path, now=NOW)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert apple.make(tmp_path, now=NOW) == first
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_without_certificates_is_named(tmp_path: Path) -> None:
    with pytest.raises(AppleError, match=r"apns-ca\.pem is missing"):
        apple.load(tmp_path)
