"""A fleet of fake Apple devices and a fake APNs, to try and to test an MDM portal without hardware.

It speaks the wire formats for real (SCEP, CMS, property lists, HTTP/2 pushes over TLS) and knows only `protocol`: it
imports nothing of the portal, and nothing of the portal imports it. Start with `python -m simulator --help`.
"""
