"""The device endpoint: every URL that a device calls. No models, no migrations."""
