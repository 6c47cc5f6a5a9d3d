"""Provisioning profiles and their renewal. Inventory of what devices hold is in `devices`; the engine follows."""
