"""What accounts, domains and groups of a cluster are, as definition text.

Only text: ``standard.py`` parses it, with the macro ``cgnode`` for our arc of OIDs.  The
names are CommuniGate Pro's; which attributes its classes have is not published, so the
lists are ours.  Numbers are never used again: ``.2.n`` attribute types, ``.3.n`` classes.
"""

from __future__ import annotations

from typing import Final

CGNODE: Final = """
attributetype ( cgnode:2.1 NAME 'hostServer' DESC 'main domain of the server that hosts the account'
    EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26 SINGLE-VALUE )
attributetype ( cgnode:2.2 NAME 'oldHostServer' DESC 'host server before a failover, to go back to'
    EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26 SINGLE-VALUE )

objectclass ( cgnode:3.1 NAME 'CommuniGateDomain' DESC 'mail domain' SUP top STRUCTURAL
    MUST cn
    MAY ( description $ displayName $ labeledURI $ mail $ o $ owner $ seeAlso $ telephoneNumber
        $ hostServer $ oldHostServer ) )
objectclass ( cgnode:3.2 NAME 'CommuniGateAccount' DESC 'mail account' SUP inetOrgPerson STRUCTURAL
    MUST uid
    MAY ( hostServer $ oldHostServer ) )
objectclass ( cgnode:3.3 NAME 'CommuniGateGroup' DESC 'mail group' SUP top STRUCTURAL
    MUST uid
    MAY ( cn $ description $ displayName $ labeledURI $ mail $ member $ owner $ seeAlso $ uniqueMember
        $ hostServer $ oldHostServer ) )

# An alias is named as what it stands for: RFC 4512 section 2.6 wants a content rule for that.
ditcontentrule ( 2.5.6.1 NAME 'aliasContent' DESC 'what aliases are named by'
    AUX ( dcObject $ extensibleObject $ uidObject )
    MAY ( c $ cn $ dc $ description $ l $ o $ ou $ st $ uid ) )
"""
