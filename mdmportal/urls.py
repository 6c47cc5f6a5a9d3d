"""Every URL of the portal: the device endpoint first, then the pages of several apps, then the admin."""

from django.contrib import admin
from django.urls import include, path

from mdmportal.pages.device import device_page
from mdmportal.pages.invitation import invite
from mdmportal.pages.push_certificate import upload
from mdmportal.pages.records import records
from mdmportal.pages.search import palette, search_page
from mdmportal.pages.start import start_page
from provisioning.admin.calendar_page import feed

admin.site.site_header = admin.site.site_title = "MDM Portal"
admin.site.index_title = "Dashboard"
# Nothing of ours is at the root.
admin.site.site_url = None
admin.site.index_template = "pages/start.html"
admin.site.app_index_template = "pages/records.html"

urlpatterns = [
    path("", include("endpoint.urls")),
    # Before the admin's own: it answers every other address below admin/ itself.
    path("admin/", admin.site.admin_view(start_page)),
    path("admin/device/<int:pk>/", admin.site.admin_view(device_page), name="device_page"),
    path("admin/invite/", admin.site.admin_view(invite), name="invite"),
    path("admin/push-certificate/", admin.site.admin_view(upload), name="push_certificate"),
    path("admin/search/", admin.site.admin_view(search_page), name="search"),
    path("admin/palette.json", admin.site.admin_view(palette), name="palette"),
    path("admin/records/", admin.site.admin_view(records), name="records"),
    path("calendar/<str:token>/provisioning.ics", feed, name="provisioning_calendar"),
    path("admin/", admin.site.urls),
]
