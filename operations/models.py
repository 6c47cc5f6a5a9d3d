"""Audit events, bulk operations, alerts and the lease that keeps beat single.

An audit event records what a human did, append-only and chained by hash; what devices report is not audited.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NoReturn

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models, transaction


class AppendOnlyError(Exception):
    """Somebody tried to change or delete an audit event."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("audit events are append-only")

    def delete(self) -> NoReturn:
        raise AppendOnlyError("audit events are append-only")


class AuditEvent(models.Model):
    """One act of one human. `operations.audit.record` is the only door that writes it."""

    at = models.DateTimeField()
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    actor_name = models.CharField(max_length=150)
    action = models.CharField(max_length=64, db_index=True)
    object_kind = models.CharField(max_length=64)
    object_id = models.CharField(max_length=128)
    object_label = models.CharField(max_length=255)
    reason = models.TextField(blank=True)
    details = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64, unique=True)

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["object_kind", "object_id"])]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.action} {self.object_label}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise AppendOnlyError("audit events are append-only")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AppendOnlyError("audit events are append-only")

    def computed_hash(self) -> str:
        """SHA-256 over the previous event's hash and everything this event says."""
        said = [
            self.previous_hash, self.at.isoformat(), self.actor_id, self.actor_name, self.action, self.object_kind,
            self.object_id, self.object_label, self.reason, self.details,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


class OperationQuerySet(models.QuerySet["Operation"]):
    def begin(
        self,
        kind: str,
        *,
        title: str,
        items: Mapping[int, str],
        actor: AbstractBaseUser | AnonymousUser | None,
        now: datetime,
    ) -> "Operation":
        """Write down what is to be done before any of it is; `items` are the subjects' ids and labels."""
        with transaction.atomic():
            operation = self.create(
                kind=kind,
                title=title[:255],
                created_at=now,
                created_by_id=actor.pk if actor is not None else None,
                total=len(items),
                worked_at=now,
            )
            rows = [OperationItem(operation=operation, subject_id=pk, label=label) for pk, label in items.items()]
            OperationItem.objects.bulk_create(rows, batch_size=500)
        return operation

    def unfinished(self) -> "OperationQuerySet":
        return self.filter(finished_at=None)

    def quiet(self, before: datetime) -> "OperationQuerySet":
        """Those at which nobody has worked since `before`: whoever did was stopped, or never started."""
        return self.filter(models.Q(worked_at=None) | models.Q(worked_at__lt=before))


class Operation(models.Model):
    """A bulk act with a progress bar. The items are the truth; `tally` sums them up for lists and pages."""

    class State(models.TextChoices):
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed", "Done with failures"

    kind = models.CharField(max_length=64)
    title = models.CharField(max_length=255)
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=16, choices=State.choices, default=State.RUNNING)
    finished_at = models.DateTimeField(null=True, blank=True)
    worked_at = models.DateTimeField(null=True, blank=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.title

    def tally(self, now: datetime) -> None:
        """Sum up the items; the operation is finished once none of them waits."""
        states = OperationItem.State
        with transaction.atomic():
            # The lock closes the race of two tallies, of which the staler one could be written last.
            self.refresh_from_db(from_queryset=Operation.objects.select_for_update(no_key=True))
            counted = self.items.order_by().aggregate(
                total=models.Count("pk"),
                done=models.Count("pk", filter=models.Q(state=states.DONE)),
                failed=models.Count("pk", filter=models.Q(state=states.FAILED)),
            )
            self.total, self.done, self.failed = counted["total"], counted["done"], counted["failed"]
            self.worked_at = now
            if self.done + self.failed == self.total:
                self.state = self.State.FAILED if self.failed else self.State.DONE
                self.finished_at = self.finished_at or now
            self.save(update_fields=["total", "done", "failed", "state", "worked_at", "finished_at"])


class OperationItemQuerySet(models.QuerySet["OperationItem"]):
    def waiting(self) -> "OperationItemQuerySet":
        return self.filter(state=OperationItem.State.WAITING)

    def failed(self) -> "OperationItemQuerySet":
        return self.filter(state=OperationItem.State.FAILED)


class OperationItem(models.Model):
    """One subject of an operation, such as a device: still to be done, done, or why not."""

    class State(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        FAILED = "failed"

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="items")
    # No foreign key: what it names lives in a layer above, and an operation outlives it.
    subject_id = models.BigIntegerField()
    label = models.CharField(max_length=400)
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    sentence = models.TextField(blank=True)

    objects = OperationItemQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["operation", "subject_id"], name="one_item_per_subject")]
        indexes = [models.Index(fields=["operation", "state"], name="operation_item_state")]

    def __str__(self) -> str:
        return self.label

    def claim(self) -> bool:
        """Mark as done in the transaction that does it; False when somebody else was first."""
        # The condition closes the race of two workers that read the same waiting item: one UPDATE matches.
        return OperationItem.objects.waiting().filter(pk=self.pk).update(state=self.State.DONE) == 1

    def fail(self, sentence: str) -> None:
        """Say why it cannot be done; only for whoever has claimed it, in the same transaction."""
        self.state, self.sentence = self.State.FAILED, sentence
        self.save(update_fields=["state", "sentence"])


class AlertQuerySet(models.QuerySet["Alert"]):
    def undelivered(self, now: datetime) -> "AlertQuerySet":
        """Open alerts that nobody was told of yet and whose next try is due."""
        return self.filter(delivered_at=None, resolved_at=None).filter(
            models.Q(next_try_at=None) | models.Q(next_try_at__lte=now)
        )


class Alert(models.Model):
    """Something IT must hear of. `key` names the cause: one open alert per cause."""

    class Severity(models.TextChoices):
        WARNING = "warning"
        CRITICAL = "critical"

    key = models.CharField(max_length=200)
    severity = models.CharField(max_length=16, choices=Severity.choices, default=Severity.WARNING)
    title = models.CharField(max_length=255)
    text = models.TextField()
    path = models.CharField(max_length=255, blank=True, help_text="Where in the portal to look.")
    raised_at = models.DateTimeField()
    # Kept apart from delivered_at: a webhook that is down must not mail the same alert at every try.
    mailed_at = models.DateTimeField(null=True, blank=True)
    delivered_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    last_error = models.CharField(max_length=255, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["key"], condition=models.Q(resolved_at=None), name="one_open_alert_per_key"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class LeaseQuerySet(models.QuerySet["Lease"]):
    def claim(self, name: str, holder: str, *, now: datetime, lifetime: timedelta) -> bool:
        """Take or prolong the lease; False while another holder's is still running."""
        self.bulk_create([Lease(name=name, holder="", expires_at=now)], ignore_conflicts=True)
        # The condition closes the race of two beats that both saw an expired lease: one UPDATE matches.
        free = models.Q(holder=holder) | models.Q(expires_at__lte=now)
        return self.filter(free, name=name).update(holder=holder, expires_at=now + lifetime) == 1


class Lease(models.Model):
    """Who may do a thing that only one process may do, and until when."""

    name = models.CharField(max_length=64, primary_key=True)
    holder = models.CharField(max_length=128)
    expires_at = models.DateTimeField()

    objects = LeaseQuerySet.as_manager()

    def __str__(self) -> str:
        return self.name
