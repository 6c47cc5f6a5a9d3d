"""The Content-Security-Policy is on every document of the portal, and on nothing that a device reads."""

import pytest
from django.http import FileResponse, HttpResponse
from django.test import RequestFactory

from portal_ui.csp import ContentSecurityPolicyMiddleware

STRICT = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
)
NAME = "Content-Security-Policy"


def through(response):
    return ContentSecurityPolicyMiddleware(lambda request: response)(RequestFactory().get("/"))


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "image/svg+xml"])
def test_a_document_gets_the_strict_policy(kind):
    assert through(HttpResponse(b"", content_type=kind))[NAME] == STRICT


@pytest.mark.parametrize("kind", ["application/xml", "application/x-apple-aspen-config", "application/x-pki-message"])
def test_what_a_device_reads_gets_none(kind):
    assert NAME not in through(HttpResponse(b"", content_type=kind))


def test_an_answer_without_a_type_passes():
    response = HttpResponse(b"")
    del response["Content-Type"]
    assert NAME not in through(response)


def test_a_stream_passes(tmp_path):
    (tmp_path / "page.html").write_text("<p>")
    with (tmp_path / "page.html").open("rb") as file:
        assert through(FileResponse(file))[NAME] == STRICT


def test_a_page_with_a_policy_of_its_own_keeps_it():
    assert through(HttpResponse(b"", headers={NAME: "default-src 'none'"}))[NAME] == "default-src 'none'"


def test_a_developers_error_page_stays_readable(settings):
    assert NAME in through(HttpResponse(b"", status=404))
    settings.DEBUG = True
    assert NAME not in through(HttpResponse(b"", status=404))
    assert NAME not in through(HttpResponse(b"", status=500))
    assert NAME in through(HttpResponse(b"", status=403))


def test_the_policy_is_a_setting(settings):
    settings.SECURE_CSP = {"default-src": ["'self'"], "img-src": ["'self'", "https://pictures.example.com"]}
    assert through(HttpResponse(b""))[NAME] == "default-src 'self'; img-src 'self' https://pictures.example.com"


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/admin/login/", "/enroll/nonsense/", "/nowhere", "/admin/nowhere/"])
def test_pages_for_everybody_have_it(client, page):
    response = client.get(page, follow=True)
    assert response["Content-Type"].startswith("text/html")
    assert response[NAME] == STRICT


@pytest.mark.django_db
def test_the_device_endpoint_has_none(client):
    assert NAME not in client.put("/mdm/connect", b"<plist/>", content_type="application/xml")
    assert NAME not in client.get("/scep?operation=GetCACaps")


def test_a_form_without_its_token_says_what_to_do(db):
    from django.test import Client

    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert b"Nothing was" in answer.content
    assert b"<style" not in answer.content
