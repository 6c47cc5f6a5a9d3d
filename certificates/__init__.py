"""The certificate authority, SCEP issuance, challenges, push certificates and keys at rest."""
