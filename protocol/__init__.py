"""Apple's MDM protocol as bytes in, values out: plists, messages, CMS, SCEP.

Sans-IO: no Django, no clock, no network, no randomness. Everything here may
be fed hostile bytes and answers with an error of `protocol.errors` only.
"""
