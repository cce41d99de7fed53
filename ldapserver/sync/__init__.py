"""Content synchronisation (RFC 4533): following a part of a directory.

``codec`` has the controls and messages, ``cookie`` the place in a history, ``provider``
what a server says, ``copy`` what a follower makes of it.  What must not live here:
connections (``ldapserver.net``).
"""
