"""Devices, enrollments, invitations, groups, the command queue, inventory, compliance and push."""
