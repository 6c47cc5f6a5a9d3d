"""The certificate authority, what it issued, the one-time challenges that let it issue, and push certificates."""

from datetime import datetime

from cryptography import x509
from django.db import models
from django.utils.functional import cached_property

from certificates.encryption import EncryptedField


class CertificateAuthority(models.Model):
    """Our own RSA CA, made at first start; its certificate is also the SCEP recipient (RFC 8894 section 2.1.2)."""

    name = models.CharField(max_length=64, unique=True)
    certificate_der = models.BinaryField()
    private_key_pem = EncryptedField()
    created_at = models.DateTimeField()
    not_after = models.DateTimeField()

    class Meta:
        verbose_name_plural = "certificate authorities"

    def __str__(self) -> str:
        return self.name

    @cached_property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(bytes(self.certificate_der))


class IssuedCertificateQuerySet(models.QuerySet["IssuedCertificate"]):
    def expiring(self, before: datetime) -> "IssuedCertificateQuerySet":
        """Certificates in force that end before `before`."""
        return self.filter(not_after__lt=before, revoked_at=None)


class IssuedCertificate(models.Model):
    """A certificate recorded at issuance, before its first use; `sha256` is of the DER."""

    class Purpose(models.TextChoices):
        IDENTITY = "identity"
        SERVER = "server"
        SIGNING = "signing"

    authority = models.ForeignKey(CertificateAuthority, on_delete=models.PROTECT, related_name="issued")
    purpose = models.CharField(max_length=16, choices=Purpose.choices, default=Purpose.IDENTITY)
    sha256 = models.BinaryField(max_length=32, unique=True)
    serial_number = models.CharField(max_length=40, unique=True)
    subject = models.CharField(max_length=255)
    public_key_sha256 = models.BinaryField(max_length=32, db_index=True)
    certificate_der = models.BinaryField()
    # Only for certificates whose key we made ourselves (server TLS, profile signing).
    private_key_pem = EncryptedField(null=True)
    not_before = models.DateTimeField()
    not_after = models.DateTimeField(db_index=True)
    replaces = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="replaced_by")
    issued_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = IssuedCertificateQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.subject} ({self.serial_number})"

    @cached_property
    def certificate(self) -> x509.Certificate:
        return x509.load_der_x509_certificate(bytes(self.certificate_der))


class Challenge(models.Model):
    """A one-time SCEP challenge password; only its SHA-256 is kept.

    The same (transactionID, public key) may come again for a few minutes and gets the same certificate.
    """

    secret_sha256 = models.BinaryField(max_length=32, unique=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    transaction_id = models.CharField(max_length=255, blank=True)
    certificate = models.OneToOneField(IssuedCertificate, null=True, on_delete=models.PROTECT, related_name="challenge")

    def __str__(self) -> str:
        return f"challenge {self.pk}"


class PushCertificateQuerySet(models.QuerySet["PushCertificate"]):
    def current(self, topic: str) -> "PushCertificate | None":
        """The newest certificate of a topic."""
        return self.filter(topic=topic).order_by("-pk").first()

    def expiring(self, before: datetime) -> "PushCertificateQuerySet":
        return self.filter(not_after__lt=before, replaced_at=None)


class PushCertificate(models.Model):
    """An MDM push certificate with its key; `topic` is the subject's UID (com.apple.mgmt.…)."""

    topic = models.CharField(max_length=255, db_index=True)
    subject = models.CharField(max_length=255)
    sha256 = models.BinaryField(max_length=32, unique=True)
    certificate_pem = models.TextField()
    private_key_pem = EncryptedField()
    not_before = models.DateTimeField()
    not_after = models.DateTimeField()
    uploaded_at = models.DateTimeField()
    replaced_at = models.DateTimeField(null=True, blank=True)
    # Set when Apple refuses the certificate or topic (403): no pushes until a human acts.
    stopped_at = models.DateTimeField(null=True, blank=True)
    stopped_reason = models.CharField(max_length=255, blank=True)

    objects = PushCertificateQuerySet.as_manager()

    def __str__(self) -> str:
        return self.topic
