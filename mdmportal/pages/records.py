"""Every table of the portal as Django's admin lists them, for whoever looks for a record that no page of ours shows."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse


def records(request: HttpRequest) -> HttpResponse:
    """GET /admin/records/"""
    context = {"title": "All records", "app_list": admin.site.get_app_list(request)}
    return TemplateResponse(request, "pages/records.html", {**admin.site.each_context(request), **context})
