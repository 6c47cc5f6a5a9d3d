"""SCEP over HTTP, as Apple's and other clients speak it."""

import base64
from urllib.parse import quote

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certificates.authority import ensure_authority
from certificates.challenges import mint
from certificates.models import IssuedCertificate
from tests.certificates.requests import pkcs_request

pytestmark = pytest.mark.django_db
PKI = "application/x-pki-message"


def exchange():
    now = timezone.now()
    return pkcs_request(mint(now)[1], now=now)


def test_capabilities_and_certificate_have_their_exact_types(client):
    capabilities = client.get("/scep?operation=GetCACaps&message=MDM")
    assert capabilities["Content-Type"] == "text/plain"
    assert b"POSTPKIOperation" in capabilities.content
    certificate = client.get("/scep?operation=GetCACert&message=MDM")
    assert certificate["Content-Type"] == "application/x-x509-ca-cert"
    assert certificate.content == bytes(ensure_authority(timezone.now()).certificate_der)


def test_a_post_is_answered(client):
    asked = exchange()
    answer = client.generic("POST", "/scep?operation=PKIOperation", asked.message, content_type="")
    assert (answer.status_code, answer["Content-Type"]) == (200, PKI)
    assert asked.read(answer.content)


def test_a_post_whose_query_repeats_the_message_is_answered(client):
    asked = exchange()
    query = quote(base64.b64encode(asked.message).decode(), safe="")
    path = f"/scep?operation=PKIOperation&message={query}"
    assert asked.read(client.generic("POST", path, asked.message, content_type="application/x-pki-message").content)
    assert asked.read(client.generic("POST", path, b"").content)


@pytest.mark.parametrize("safe", ["", "+/=", "/="], ids=["all escaped", "nothing escaped", "plus escaped"])
def test_a_get_is_answered(client, safe):
    asked = exchange()
    query = quote(base64.b64encode(asked.message).decode(), safe=safe)
    assert asked.read(client.get(f"/scep?operation=PKIOperation&message={query}").content)


def test_a_get_whose_plus_signs_came_as_spaces_is_answered(client):
    asked = exchange()
    encoded = base64.b64encode(asked.message).decode()
    assert "+" in encoded
    query = quote(encoded.replace("+", " "), safe="/=")
    assert asked.read(client.get(f"/scep?operation=PKIOperation&message={query}").content)


def test_a_refused_challenge_is_a_cert_rep_with_status_200(client):
    now = timezone.now()
    asked = pkcs_request("guessed", now=now)
    answer = client.generic("POST", "/scep?operation=PKIOperation", asked.message)
    assert (answer.status_code, answer["Content-Type"]) == (200, PKI)
    assert not IssuedCertificate.objects.exists()


@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("GET", "", 400),
        ("GET", "operation=Dance", 400),
        ("GET", "operation=GetNextCACert", 404),
        ("GET", "operation=PKIOperation&message=%E9%E9", 400),
        ("PUT", "operation=GetCACaps", 405),
    ],
)
def test_everything_else_has_its_status(client, method, query, status):
    answer = client.generic(method, f"/scep?{query}")
    assert answer.status_code == status
    assert b"<" not in answer.content


@given(query=st.binary(max_size=80), body=st.binary(max_size=80), post=st.booleans(), operation=st.booleans())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_get_a_documented_status(client, query, body, post, operation):
    text = query.decode("latin-1")
    text = f"operation=PKIOperation&message={text}" if operation else text
    answer = client.generic("POST" if post else "GET", "/scep", body, QUERY_STRING=text)
    assert answer.status_code in {200, 400, 404}
