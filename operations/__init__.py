"""What people did (audit), what is running (operations) and what they must hear of (alerts)."""
