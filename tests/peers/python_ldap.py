"""python-ldap where it is installed.  It has to be compiled, so machines without a compiler
go without it, and only CI must have it."""

from __future__ import annotations

import os
from typing import Any

import pytest

ldap: Any
try:
    import ldap
    import ldap.controls.readentry
    import ldap.dn
    import ldap.modlist
except ImportError:
    if os.environ.get("CI"):
        raise
    ldap = None


def require_ldap() -> Any:
    """The package; skips the test that can't have it."""
    if ldap is None:
        pytest.skip("python-ldap is not installed")
    return ldap
