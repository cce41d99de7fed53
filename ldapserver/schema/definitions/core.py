"""Syntaxes, matching rules and the directory's own attribute types and classes, as
definition text.

Only text: ``standard.py`` parses it; what a syntax accepts is in ``syntaxes.py``, what a
rule does in ``rules.py``.  From RFC 4512, 4517, 3045, 3296, 3672, 4523, 4530, 5020 and,
for change sequence numbers, from what OpenLDAP publishes.
"""

from __future__ import annotations

from typing import Final

SYNTAXES: Final = """
objectidentifier syntax 1.3.6.1.4.1.1466.115.121.1

# RFC 4517 section 3.3; audio to certificate pair, supported algorithm: RFC 2252, RFC 4523

ldapsyntax ( syntax:3 DESC 'Attribute Type Description' )
ldapsyntax ( syntax:4 DESC 'Audio' X-NOT-HUMAN-READABLE 'TRUE' )
ldapsyntax ( syntax:5 DESC 'Binary' X-NOT-HUMAN-READABLE 'TRUE' )
ldapsyntax ( syntax:6 DESC 'Bit String' )
ldapsyntax ( syntax:7 DESC 'Boolean' )
ldapsyntax ( syntax:8 DESC 'Certificate' X-NOT-HUMAN-READABLE 'TRUE' )
ldapsyntax ( syntax:9 DESC 'Certificate List' X-NOT-HUMAN-READABLE 'TRUE' )
ldapsyntax ( syntax:10 DESC 'Certificate Pair' X-NOT-HUMAN-READABLE 'TRUE' )
ldapsyntax ( syntax:11 DESC 'Country String' )
ldapsyntax ( syntax:12 DESC 'DN' )
ldapsyntax ( syntax:14 DESC 'Delivery Method' )
ldapsyntax ( syntax:15 DESC 'Directory String' )
ldapsyntax ( syntax:16 DESC 'DIT Content Rule Description' )
ldapsyntax ( syntax:17 DESC 'DIT Structure Rule Description' )
ldapsyntax ( syntax:21 DESC 'Enhanced Guide' )
ldapsyntax ( syntax:22 DESC 'Facsimile Telephone Number' )
ldapsyntax ( syntax:23 DESC 'Fax' X-NOT-HUMAN-READABLE 'TRUE' )
ldapsyntax ( syntax:24 DESC 'Generalized Time' )
ldapsyntax ( syntax:25 DESC 'Guide' )
ldapsyntax ( syntax:26 DESC 'IA5 String' )
ldapsyntax ( syntax:27 DESC 'INTEGER' )
ldapsyntax ( syntax:28 DESC 'JPEG' X-NOT-HUMAN-READABLE 'TRUE' )
ldapsyntax ( syntax:30 DESC 'Matching Rule Description' )
ldapsyntax ( syntax:31 DESC 'Matching Rule Use Description' )
ldapsyntax ( syntax:34 DESC 'Name And Optional UID' )
ldapsyntax ( syntax:35 DESC 'Name Form Description' )
ldapsyntax ( syntax:36 DESC 'Numeric String' )
ldapsyntax ( syntax:37 DESC 'Object Class Description' )
ldapsyntax ( syntax:38 DESC 'OID' )
ldapsyntax ( syntax:39 DESC 'Other Mailbox' )
ldapsyntax ( syntax:40 DESC 'Octet String' )
ldapsyntax ( syntax:41 DESC 'Postal Address' )
ldapsyntax ( syntax:44 DESC 'Printable String' )
ldapsyntax ( syntax:45 DESC 'Subtree Specification' )
ldapsyntax ( syntax:49 DESC 'Supported Algorithm' X-NOT-HUMAN-READABLE 'TRUE' )
ldapsyntax ( syntax:50 DESC 'Telephone Number' )
ldapsyntax ( syntax:51 DESC 'Teletex Terminal Identifier' )
ldapsyntax ( syntax:52 DESC 'Telex Number' )
ldapsyntax ( syntax:53 DESC 'UTC Time' )
ldapsyntax ( syntax:54 DESC 'LDAP Syntax Description' )
ldapsyntax ( syntax:58 DESC 'Substring Assertion' )

# RFC 3672, RFC 4523, RFC 4530, RFC 2307, OpenLDAP

ldapsyntax ( 1.3.6.1.1.15.1 DESC 'X.509 Certificate Exact Assertion' )
ldapsyntax ( 1.3.6.1.1.16.1 DESC 'UUID' )
ldapsyntax ( 1.3.6.1.1.1.0.0 DESC 'NIS netgroup triple' )
ldapsyntax ( 1.3.6.1.1.1.0.1 DESC 'Boot parameter' )
ldapsyntax ( 1.3.6.1.4.1.4203.666.11.2.1 DESC 'CSN' )
"""

RULES: Final = """
# RFC 4517 section 4.2 without wordMatch and keywordMatch; RFC 4523; RFC 4530; OpenLDAP

matchingrule ( 1.3.6.1.1.16.2 NAME 'uuidMatch' SYNTAX 1.3.6.1.1.16.1 )
matchingrule ( 1.3.6.1.1.16.3 NAME 'uuidOrderingMatch' SYNTAX 1.3.6.1.1.16.1 )
matchingrule ( 1.3.6.1.4.1.1466.109.114.1 NAME 'caseExactIA5Match' SYNTAX syntax:26 )
matchingrule ( 1.3.6.1.4.1.1466.109.114.2 NAME 'caseIgnoreIA5Match' SYNTAX syntax:26 )
matchingrule ( 1.3.6.1.4.1.1466.109.114.3 NAME 'caseIgnoreIA5SubstringsMatch' SYNTAX syntax:58 )
matchingrule ( 1.3.6.1.4.1.4203.1.2.1 NAME 'caseExactIA5SubstringsMatch' SYNTAX syntax:58 )
matchingrule ( 1.3.6.1.4.1.4203.666.11.2.2 NAME 'CSNMatch' SYNTAX 1.3.6.1.4.1.4203.666.11.2.1 )
matchingrule ( 1.3.6.1.4.1.4203.666.11.2.3 NAME 'CSNOrderingMatch' SYNTAX 1.3.6.1.4.1.4203.666.11.2.1 )
matchingrule ( 2.5.13.0 NAME 'objectIdentifierMatch' SYNTAX syntax:38 )
matchingrule ( 2.5.13.1 NAME 'distinguishedNameMatch' SYNTAX syntax:12 )
matchingrule ( 2.5.13.2 NAME 'caseIgnoreMatch' SYNTAX syntax:15 )
matchingrule ( 2.5.13.3 NAME 'caseIgnoreOrderingMatch' SYNTAX syntax:15 )
matchingrule ( 2.5.13.4 NAME 'caseIgnoreSubstringsMatch' SYNTAX syntax:58 )
matchingrule ( 2.5.13.5 NAME 'caseExactMatch' SYNTAX syntax:15 )
matchingrule ( 2.5.13.6 NAME 'caseExactOrderingMatch' SYNTAX syntax:15 )
matchingrule ( 2.5.13.7 NAME 'caseExactSubstringsMatch' SYNTAX syntax:58 )
matchingrule ( 2.5.13.8 NAME 'numericStringMatch' SYNTAX syntax:36 )
matchingrule ( 2.5.13.9 NAME 'numericStringOrderingMatch' SYNTAX syntax:36 )
matchingrule ( 2.5.13.10 NAME 'numericStringSubstringsMatch' SYNTAX syntax:58 )
matchingrule ( 2.5.13.11 NAME 'caseIgnoreListMatch' SYNTAX syntax:41 )
matchingrule ( 2.5.13.12 NAME 'caseIgnoreListSubstringsMatch' SYNTAX syntax:58 )
matchingrule ( 2.5.13.13 NAME 'booleanMatch' SYNTAX syntax:7 )
matchingrule ( 2.5.13.14 NAME 'integerMatch' SYNTAX syntax:27 )
matchingrule ( 2.5.13.15 NAME 'integerOrderingMatch' SYNTAX syntax:27 )
matchingrule ( 2.5.13.16 NAME 'bitStringMatch' SYNTAX syntax:6 )
matchingrule ( 2.5.13.17 NAME 'octetStringMatch' SYNTAX syntax:40 )
matchingrule ( 2.5.13.18 NAME 'octetStringOrderingMatch' SYNTAX syntax:40 )
matchingrule ( 2.5.13.19 NAME 'octetStringSubstringsMatch' SYNTAX syntax:40 )
matchingrule ( 2.5.13.20 NAME 'telephoneNumberMatch' SYNTAX syntax:50 )
matchingrule ( 2.5.13.21 NAME 'telephoneNumberSubstringsMatch' SYNTAX syntax:58 )
matchingrule ( 2.5.13.23 NAME 'uniqueMemberMatch' SYNTAX syntax:34 )
matchingrule ( 2.5.13.27 NAME 'generalizedTimeMatch' SYNTAX syntax:24 )
matchingrule ( 2.5.13.28 NAME 'generalizedTimeOrderingMatch' SYNTAX syntax:24 )
matchingrule ( 2.5.13.29 NAME 'integerFirstComponentMatch' SYNTAX syntax:27 )
matchingrule ( 2.5.13.30 NAME 'objectIdentifierFirstComponentMatch' SYNTAX syntax:38 )
matchingrule ( 2.5.13.31 NAME 'directoryStringFirstComponentMatch' SYNTAX syntax:15 )
matchingrule ( 2.5.13.34 NAME 'certificateExactMatch' SYNTAX 1.3.6.1.1.15.1 )
"""

OPERATIONAL: Final = """
# RFC 4512

attributetype ( 2.5.4.0 NAME 'objectClass' EQUALITY objectIdentifierMatch SYNTAX syntax:38 )
attributetype ( 2.5.4.1 NAME 'aliasedObjectName' EQUALITY distinguishedNameMatch SYNTAX syntax:12
    SINGLE-VALUE )
attributetype ( 2.5.18.3 NAME 'creatorsName' EQUALITY distinguishedNameMatch SYNTAX syntax:12 SINGLE-VALUE
    NO-USER-MODIFICATION USAGE directoryOperation )
attributetype ( 2.5.18.1 NAME 'createTimestamp' EQUALITY generalizedTimeMatch
    ORDERING generalizedTimeOrderingMatch SYNTAX syntax:24 SINGLE-VALUE NO-USER-MODIFICATION
    USAGE directoryOperation )
attributetype ( 2.5.18.4 NAME 'modifiersName' EQUALITY distinguishedNameMatch SYNTAX syntax:12
    SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )
attributetype ( 2.5.18.2 NAME 'modifyTimestamp' EQUALITY generalizedTimeMatch
    ORDERING generalizedTimeOrderingMatch SYNTAX syntax:24 SINGLE-VALUE NO-USER-MODIFICATION
    USAGE directoryOperation )
attributetype ( 2.5.21.9 NAME 'structuralObjectClass' EQUALITY objectIdentifierMatch SYNTAX syntax:38
    SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )
attributetype ( 2.5.21.10 NAME 'governingStructureRule' EQUALITY integerMatch SYNTAX syntax:27
    SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )
attributetype ( 2.5.18.10 NAME 'subschemaSubentry' EQUALITY distinguishedNameMatch SYNTAX syntax:12
    SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )
attributetype ( 2.5.21.6 NAME 'objectClasses' EQUALITY objectIdentifierFirstComponentMatch
    SYNTAX syntax:37 USAGE directoryOperation )
attributetype ( 2.5.21.5 NAME 'attributeTypes' EQUALITY objectIdentifierFirstComponentMatch
    SYNTAX syntax:3 USAGE directoryOperation )
attributetype ( 2.5.21.4 NAME 'matchingRules' EQUALITY objectIdentifierFirstComponentMatch
    SYNTAX syntax:30 USAGE directoryOperation )
attributetype ( 2.5.21.8 NAME 'matchingRuleUse' EQUALITY objectIdentifierFirstComponentMatch
    SYNTAX syntax:31 USAGE directoryOperation )
attributetype ( 1.3.6.1.4.1.1466.101.120.16 NAME 'ldapSyntaxes'
    EQUALITY objectIdentifierFirstComponentMatch SYNTAX syntax:54 USAGE directoryOperation )
attributetype ( 2.5.21.2 NAME 'dITContentRules' EQUALITY objectIdentifierFirstComponentMatch
    SYNTAX syntax:16 USAGE directoryOperation )
attributetype ( 2.5.21.1 NAME 'dITStructureRules' EQUALITY integerFirstComponentMatch SYNTAX syntax:17
    USAGE directoryOperation )
attributetype ( 2.5.21.7 NAME 'nameForms' EQUALITY objectIdentifierFirstComponentMatch SYNTAX syntax:35
    USAGE directoryOperation )
attributetype ( 1.3.6.1.4.1.1466.101.120.6 NAME 'altServer' SYNTAX syntax:26 USAGE dSAOperation )
attributetype ( 1.3.6.1.4.1.1466.101.120.5 NAME 'namingContexts' SYNTAX syntax:12 USAGE dSAOperation )
attributetype ( 1.3.6.1.4.1.1466.101.120.13 NAME 'supportedControl' SYNTAX syntax:38 USAGE dSAOperation )
attributetype ( 1.3.6.1.4.1.1466.101.120.7 NAME 'supportedExtension' SYNTAX syntax:38 USAGE dSAOperation )
attributetype ( 1.3.6.1.4.1.4203.1.3.5 NAME 'supportedFeatures' EQUALITY objectIdentifierMatch
    SYNTAX syntax:38 USAGE dSAOperation )
attributetype ( 1.3.6.1.4.1.1466.101.120.15 NAME 'supportedLDAPVersion' SYNTAX syntax:27 USAGE dSAOperation )
attributetype ( 1.3.6.1.4.1.1466.101.120.14 NAME 'supportedSASLMechanisms' SYNTAX syntax:15
    USAGE dSAOperation )

objectclass ( 2.5.6.0 NAME 'top' ABSTRACT MUST objectClass )
objectclass ( 2.5.6.1 NAME 'alias' SUP top STRUCTURAL MUST aliasedObjectName )
objectclass ( 2.5.20.1 NAME 'subschema' AUXILIARY
    MAY ( dITStructureRules $ nameForms $ dITContentRules $ objectClasses $ attributeTypes
        $ matchingRules $ matchingRuleUse ) )
objectclass ( 1.3.6.1.4.1.1466.101.120.111 NAME 'extensibleObject' SUP top AUXILIARY )

# RFC 3045 (the RFC names an IA5 rule for these Directory Strings; caseExactMatch is what fits)

attributetype ( 1.3.6.1.1.4 NAME 'vendorName' EQUALITY caseExactMatch SYNTAX syntax:15
    SINGLE-VALUE NO-USER-MODIFICATION USAGE dSAOperation )
attributetype ( 1.3.6.1.1.5 NAME 'vendorVersion' EQUALITY caseExactMatch SYNTAX syntax:15
    SINGLE-VALUE NO-USER-MODIFICATION USAGE dSAOperation )

# RFC 4530

attributetype ( 1.3.6.1.1.16.4 NAME 'entryUUID' EQUALITY uuidMatch ORDERING uuidOrderingMatch
    SYNTAX 1.3.6.1.1.16.1 SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )

# RFC 3296

attributetype ( 2.16.840.1.113730.3.1.34 NAME 'ref' EQUALITY caseExactMatch SYNTAX syntax:15
    USAGE distributedOperation )

objectclass ( 2.16.840.1.113730.3.2.6 NAME 'referral' SUP top STRUCTURAL MUST ref )

# RFC 3672

attributetype ( 2.5.18.5 NAME 'administrativeRole' EQUALITY objectIdentifierMatch SYNTAX syntax:38
    USAGE directoryOperation )
attributetype ( 2.5.18.6 NAME 'subtreeSpecification' SYNTAX syntax:45 SINGLE-VALUE
    USAGE directoryOperation )

objectclass ( 2.5.17.0 NAME 'subentry' SUP top STRUCTURAL MUST ( cn $ subtreeSpecification ) )

# RFC 5020, X.501, and what other directories call the number of children

attributetype ( 1.3.6.1.1.20 NAME 'entryDN' EQUALITY distinguishedNameMatch SYNTAX syntax:12
    SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )
attributetype ( 2.5.18.9 NAME 'hasSubordinates' EQUALITY booleanMatch SYNTAX syntax:7
    SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )
attributetype ( 1.3.6.1.4.1.453.16.2.103 NAME 'numSubordinates' EQUALITY integerMatch
    ORDERING integerOrderingMatch SYNTAX syntax:27 SINGLE-VALUE NO-USER-MODIFICATION
    USAGE directoryOperation )

# OpenLDAP: change sequence numbers of an entry and of a context

attributetype ( 1.3.6.1.4.1.4203.666.1.7 NAME 'entryCSN' EQUALITY CSNMatch ORDERING CSNOrderingMatch
    SYNTAX 1.3.6.1.4.1.4203.666.11.2.1{64} SINGLE-VALUE NO-USER-MODIFICATION USAGE directoryOperation )
attributetype ( 1.3.6.1.4.1.4203.666.1.25 NAME 'contextCSN' EQUALITY CSNMatch ORDERING CSNOrderingMatch
    SYNTAX 1.3.6.1.4.1.4203.666.11.2.1{64} NO-USER-MODIFICATION USAGE dSAOperation )
"""
