"""Bundles of payloads: composing, publishing, assignment, installations and the gate."""
