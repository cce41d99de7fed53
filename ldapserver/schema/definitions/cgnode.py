"""What accounts, domains and groups of a cluster are, as definition text.

Only text: ``standard.py`` parses it, with the macro ``cgnode`` for our arc of OIDs.  The
names are CommuniGate Pro's; which attributes its classes have is not published, so the
lists are ours.  Numbers are never used again: ``.2.n`` attribute types, ``.3.n`` classes.

Servers stand below ``cn=servers``; their ``hostServer`` is their ``cn``.  An alias of an
account or a domain is an alias entry (RFC 4512 section 2.6) beside it.
"""

from __future__ import annotations

from typing import Final

CGNODE: Final = """
attributetype ( cgnode:2.1 NAME 'hostServer' DESC 'main domain of the server that hosts the account'
    EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26 SINGLE-VALUE )
attributetype ( cgnode:2.2 NAME 'oldHostServer' DESC 'host server before a failover, to go back to'
    EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26 SINGLE-VALUE )
attributetype ( cgnode:2.3 NAME 'memberAddress' DESC 'address that mail to the group goes to'
    EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26 )
attributetype ( cgnode:2.4 NAME 'forwardAddress' DESC 'address that stands for this one'
    EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26 SINGLE-VALUE )
attributetype ( cgnode:2.5 NAME 'serverRole' DESC 'directory, backend or frontend'
    EQUALITY caseIgnoreIA5Match SYNTAX syntax:26 )
attributetype ( cgnode:2.6 NAME 'serverState' DESC 'active, draining (no new accounts) or down'
    EQUALITY caseIgnoreIA5Match SYNTAX syntax:26 SINGLE-VALUE )
attributetype ( cgnode:2.7 NAME 'serverAddress' DESC 'where a protocol is served, as in imap://be3.example.com:143'
    EQUALITY caseIgnoreIA5Match SYNTAX syntax:26 )

objectclass ( cgnode:3.1 NAME 'CommuniGateDomain' DESC 'mail domain' SUP top STRUCTURAL
    MUST cn
    MAY ( description $ displayName $ labeledURI $ mail $ o $ owner $ seeAlso $ telephoneNumber
        $ hostServer $ oldHostServer ) )
objectclass ( cgnode:3.2 NAME 'CommuniGateAccount' DESC 'mail account' SUP inetOrgPerson STRUCTURAL
    MUST uid
    MAY ( hostServer $ oldHostServer ) )
objectclass ( cgnode:3.3 NAME 'CommuniGateGroup' DESC 'mail group' SUP top STRUCTURAL
    MUST uid
    MAY ( cn $ description $ displayName $ labeledURI $ mail $ member $ memberAddress $ owner $ seeAlso
        $ uniqueMember $ hostServer $ oldHostServer ) )
objectclass ( cgnode:3.4 NAME 'cgnodeForwarder' DESC 'address that stands for another one' SUP top STRUCTURAL
    MUST ( uid $ forwardAddress )
    MAY ( cn $ description $ mail ) )
objectclass ( cgnode:3.5 NAME 'cgnodeServers' DESC 'the servers of a cluster' SUP top STRUCTURAL
    MUST cn
    MAY description )
objectclass ( cgnode:3.6 NAME 'cgnodeServer' DESC 'server of a cluster' SUP top STRUCTURAL
    MUST ( cn $ serverState )
    MAY ( description $ serverAddress $ serverRole ) )

# An alias is named as what it stands for: RFC 4512 section 2.6 wants a content rule for that.
ditcontentrule ( 2.5.6.1 NAME 'aliasContent' DESC 'what aliases are named by'
    AUX ( dcObject $ extensibleObject $ uidObject )
    MAY ( c $ cn $ dc $ description $ l $ o $ ou $ st $ uid ) )
"""
