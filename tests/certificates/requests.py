"""SCEP requests as a device makes them."""

import secrets
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from certificates.authority import ensure_authority
from protocol import scep


@cache
def device_key(number: int = 1) -> rsa.RSAPrivateKey:
    """One of a few RSA keys, made once per process: they are slow, and no test changes one."""
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Exchange:
    """One request and what is needed to read its answer."""

    message: bytes
    ca: x509.Certificate
    signer: x509.Certificate
    key: rsa.RSAPrivateKey
    transaction_id: str
    nonce: bytes

    def read(self, answer: bytes) -> x509.Certificate:
        return scep.parse_response(
            answer,
            ca=self.ca,
            recipient_certificate=self.signer,
            private_key=self.key,
            transaction_id=self.transaction_id,
            nonce=self.nonce,
        )


def pkcs_request(challenge, *, now, key=None, transaction_id="1", ca=None, **more) -> Exchange:
    key = key or device_key()
    throw_away = scep.self_signed(key, common_name="device", now=now)
    return request(
        scep.MessageType.PKCS_REQ, challenge, now=now, key=key, signer=throw_away, signer_key=key,
        transaction_id=transaction_id, ca=ca, **more,
    )  # fmt: skip


def renewal_request(identity, identity_key, *, now, key=None, transaction_id="2", ca=None, **more) -> Exchange:
    return request(
        scep.MessageType.RENEWAL_REQ, None, now=now, key=key or identity_key, signer=identity, signer_key=identity_key,
        transaction_id=transaction_id, ca=ca, **more,
    )  # fmt: skip


def request(message_type, challenge, *, now, key, signer, signer_key, transaction_id, ca, **more) -> Exchange:
    ca = ca or ensure_authority(now).certificate
    nonce = secrets.token_bytes(16)
    csr = scep.build_csr(key, common_name="I am the boss", challenge=challenge)
    message = scep.build_request(
        csr,
        message_type=message_type,
        signer_certificate=signer,
        signer_key=signer_key,
        ca=ca,
        transaction_id=transaction_id,
        nonce=nonce,
        **more,
    )
    return Exchange(message, ca, signer, signer_key, transaction_id, nonce)
