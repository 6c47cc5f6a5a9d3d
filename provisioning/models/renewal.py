"""Renewals: one run that replaces a lineage's current profile, and everything that happened in it."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models

from provisioning.models.lineage import Lineage, ProvisioningProfile


class RenewalState(models.TextChoices):
    """Waiting for another try is `next_at` in the same state; `paused_at` stops the roll-out for a human."""

    DUE = "due", "due, waiting for approval"
    PLANNED = "planned"
    CREATING = "creating", "creating at Apple"
    FETCHED = "fetched", "fetched, being checked"
    VALIDATED = "validated"
    CANARY = "canary", "on the first devices"
    ROLLING_OUT = "rolling_out", "rolling out"
    CLEANUP = "cleanup", "removing the old one"
    DONE = "done"
    BLOCKED = "blocked", "needs somebody"
    REJECTED = "rejected", "the new profile was refused"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded", "another profile came first"


FINAL_STATES = (RenewalState.DONE, RenewalState.REJECTED, RenewalState.CANCELLED, RenewalState.SUPERSEDED)
# The new profile goes to devices.
ROLLING_STATES = (RenewalState.CANARY, RenewalState.ROLLING_OUT, RenewalState.CLEANUP)


class RenewalQuerySet(models.QuerySet["Renewal"]):
    def open(self) -> Self:
        """Those that are not at an end."""
        return self.exclude(state__in=FINAL_STATES)

    def due(self, now: datetime) -> Self:
        """Open ones whose next step has come."""
        return self.open().filter(next_at__lte=now)


class Renewal(models.Model):
    """One run for one lineage; there is never a second open one."""

    lineage = models.ForeignKey(Lineage, on_delete=models.CASCADE, related_name="renewals")
    state = models.CharField(max_length=16, choices=RenewalState.choices, default=RenewalState.DUE, db_index=True)
    old_profile = models.ForeignKey(ProvisioningProfile, on_delete=models.PROTECT, related_name="+")
    new_profile = models.ForeignKey(ProvisioningProfile, null=True, on_delete=models.PROTECT, related_name="+")
    # Committed before the POST: the name is what makes creating idempotent.
    planned_name = models.CharField(max_length=64, blank=True)
    apple_id = models.CharField(max_length=64, blank=True)
    # Looks that found nothing under the name since the last POST or the start, and when the last one was.
    empty_looks = models.PositiveIntegerField(default=0)
    looked_at = models.DateTimeField(null=True, blank=True)
    posted_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    next_at = models.DateTimeField(null=True, blank=True, db_index=True)
    # Where to go on after BLOCKED.
    blocked_state = models.CharField(max_length=16, blank=True)
    error_kind = models.CharField(max_length=32, blank=True)
    error = models.CharField(max_length=1000, blank=True)
    # What the comparison with the old profile found, a list of objects: severity, key, sentence.
    findings = models.JSONField(default=list, blank=True)
    wave = models.PositiveIntegerField(default=0)
    wave_at = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)

    objects = RenewalQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["lineage"], condition=~models.Q(state__in=FINAL_STATES), name="one_open_renewal_per_lineage"
            )
        ]

    def __str__(self) -> str:
        return f"renewal of {self.lineage} ({self.get_state_display()})"


class RenewalEvent(models.Model):
    """One step of a renewal, in words and in what Apple answered; never keys, tokens, contents or device lists."""

    renewal = models.ForeignKey(Renewal, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    state = models.CharField(max_length=16, choices=RenewalState.choices)
    sentence = models.CharField(max_length=1000)
    # HTTP status, Apple's error id and code, requests left, milliseconds
    details = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["renewal", "pk"]

    def __str__(self) -> str:
        return self.sentence
