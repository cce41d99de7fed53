"""The node's configuration file: a module for each section, ``node`` for the whole."""

from cgnode.config.backend import BackendConfig
from cgnode.config.cluster import AutoFailover, ClusterConfig, DirectoryAccess, Health
from cgnode.config.common import Tls
from cgnode.config.frontend import FrontendConfig, LoginLimits, SmtpConfig
from cgnode.config.ldap import Administrator, LdapConfig
from cgnode.config.node import ROLES, Config, check_roles, load, read, role

__all__ = [
    "ROLES",
    "Administrator",
    "AutoFailover",
    "BackendConfig",
    "ClusterConfig",
    "Config",
    "DirectoryAccess",
    "FrontendConfig",
    "Health",
    "LdapConfig",
    "LoginLimits",
    "SmtpConfig",
    "Tls",
    "check_roles",
    "load",
    "read",
    "role",
]
