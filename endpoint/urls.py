"""URLs that devices and their users call; exact, without redirects."""

from django.urls import path

from endpoint import app_downloads, enrollment_pages, views

urlpatterns = [
    path("mdm/connect", views.connect, name="mdm-connect"),
    path("mdm/checkin", views.check_in, name="mdm-checkin"),
    path("scep", views.scep, name="scep"),
    path("enroll/<str:token>/", enrollment_pages.page, name="enroll"),
    path("enroll/<str:token>/profile", enrollment_pages.profile, name="enroll-profile"),
    path("enroll/<str:token>/qr.svg", enrollment_pages.qr_code, name="enroll-qr"),
    path("app/<str:token>/manifest.plist", app_downloads.manifest, name="app-manifest"),
    path("app/<str:token>/app.ipa", app_downloads.file, name="app-file"),
]
