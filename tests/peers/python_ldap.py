"""python-ldap where it is installed.  It has to be compiled, so machines without a compiler
go without it, and only CI must have it."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import pytest

# Importing a submodule makes it an attribute of ``ldap``.
_PARTS = ("ldap", "ldap.controls.readentry", "ldap.dn", "ldap.modlist", "ldap.syncrepl")


def _imported() -> Any:
    try:
        return next(iter([import_module(name) for name in _PARTS]))
    except ImportError:
        if os.environ.get("CI"):
            raise
        return None


ldap = _imported()


def require_ldap() -> Any:
    """The package; skips the test that can't have it."""
    if ldap is None:
        pytest.skip("python-ldap is not installed")
    return ldap
