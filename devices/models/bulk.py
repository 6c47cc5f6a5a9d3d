"""What a bulk operation sends: one command to many devices. How far it has come is in `operations`."""

from django.conf import settings
from django.db import models

from certificates.encryption import EncryptedField
from operations.models import Operation


class BulkCommand(models.Model):
    """The command of a bulk operation. `params` is an XML plist, wiped (b"") once the operation is finished."""

    operation = models.OneToOneField(Operation, on_delete=models.CASCADE, related_name="bulk_command")
    request_type = models.CharField(max_length=64)
    params = EncryptedField(default=b"")
    reason = models.TextField(blank=True)
    # Null is the command line. Cascades, for nothing more may be sent in the name of an account that was deleted.
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.CASCADE, related_name="+")

    def __str__(self) -> str:
        return f"{self.request_type} of operation {self.operation_id}"
