"""Pages that show several apps at once: the device page, invitations, status."""
