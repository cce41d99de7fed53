"""User attribute types and object classes of the RFCs, as definition text.

Only text: ``standard.py`` parses it.  OIDs, names, rules, required and allowed
attributes are those of RFC 4519, 4524, 2798, 2079, 2377 and 4523; the second names are
the ones that directories in the field accept (``commonName``, ``rfc822Mailbox``).
``syntax:n`` is an object identifier macro that ``core.py`` defines.
"""

from __future__ import annotations

from typing import Final

USER: Final = """
# RFC 4519: user applications

attributetype ( 2.5.4.15 NAME 'businessCategory' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX syntax:15 )
attributetype ( 2.5.4.6 NAME ( 'c' 'countryName' ) SUP name SYNTAX syntax:11 SINGLE-VALUE )
attributetype ( 2.5.4.3 NAME ( 'cn' 'commonName' ) SUP name )
attributetype ( 0.9.2342.19200300.100.1.25 NAME ( 'dc' 'domainComponent' ) EQUALITY caseIgnoreIA5Match
    SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26 SINGLE-VALUE )
attributetype ( 2.5.4.13 NAME 'description' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX syntax:15 )
attributetype ( 2.5.4.27 NAME 'destinationIndicator' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:44 )
attributetype ( 2.5.4.49 NAME 'distinguishedName' EQUALITY distinguishedNameMatch SYNTAX syntax:12 )
attributetype ( 2.5.4.46 NAME 'dnQualifier' EQUALITY caseIgnoreMatch ORDERING caseIgnoreOrderingMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:44 )
attributetype ( 2.5.4.47 NAME 'enhancedSearchGuide' SYNTAX syntax:21 )
attributetype ( 2.5.4.23 NAME ( 'facsimileTelephoneNumber' 'fax' ) SYNTAX syntax:22 )
attributetype ( 2.5.4.44 NAME 'generationQualifier' SUP name )
attributetype ( 2.5.4.42 NAME ( 'givenName' 'gn' ) SUP name )
attributetype ( 2.5.4.51 NAME 'houseIdentifier' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX syntax:15 )
attributetype ( 2.5.4.43 NAME 'initials' SUP name )
attributetype ( 2.5.4.25 NAME 'internationalISDNNumber' EQUALITY numericStringMatch
    SUBSTR numericStringSubstringsMatch SYNTAX syntax:36 )
attributetype ( 2.5.4.7 NAME ( 'l' 'localityName' ) SUP name )
attributetype ( 2.5.4.31 NAME 'member' SUP distinguishedName )
attributetype ( 2.5.4.41 NAME 'name' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX syntax:15 )
attributetype ( 2.5.4.10 NAME ( 'o' 'organizationName' ) SUP name )
attributetype ( 2.5.4.11 NAME ( 'ou' 'organizationalUnitName' ) SUP name )
attributetype ( 2.5.4.32 NAME 'owner' SUP distinguishedName )
attributetype ( 2.5.4.19 NAME 'physicalDeliveryOfficeName' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 )
attributetype ( 2.5.4.16 NAME 'postalAddress' EQUALITY caseIgnoreListMatch
    SUBSTR caseIgnoreListSubstringsMatch SYNTAX syntax:41 )
attributetype ( 2.5.4.17 NAME 'postalCode' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX syntax:15 )
attributetype ( 2.5.4.18 NAME 'postOfficeBox' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX syntax:15 )
attributetype ( 2.5.4.28 NAME 'preferredDeliveryMethod' SYNTAX syntax:14 SINGLE-VALUE )
attributetype ( 2.5.4.26 NAME 'registeredAddress' SUP postalAddress SYNTAX syntax:41 )
attributetype ( 2.5.4.33 NAME 'roleOccupant' SUP distinguishedName )
attributetype ( 2.5.4.14 NAME 'searchGuide' SYNTAX syntax:25 )
attributetype ( 2.5.4.34 NAME 'seeAlso' SUP distinguishedName )
attributetype ( 2.5.4.5 NAME 'serialNumber' EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch
    SYNTAX syntax:44 )
attributetype ( 2.5.4.4 NAME ( 'sn' 'surname' ) SUP name )
attributetype ( 2.5.4.8 NAME ( 'st' 'stateOrProvinceName' ) SUP name )
attributetype ( 2.5.4.9 NAME ( 'street' 'streetAddress' ) EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 )
attributetype ( 2.5.4.20 NAME 'telephoneNumber' EQUALITY telephoneNumberMatch
    SUBSTR telephoneNumberSubstringsMatch SYNTAX syntax:50 )
attributetype ( 2.5.4.22 NAME 'teletexTerminalIdentifier' SYNTAX syntax:51 )
attributetype ( 2.5.4.21 NAME 'telexNumber' SYNTAX syntax:52 )
attributetype ( 2.5.4.12 NAME 'title' SUP name )
attributetype ( 0.9.2342.19200300.100.1.1 NAME ( 'uid' 'userid' ) EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 )
attributetype ( 2.5.4.50 NAME 'uniqueMember' EQUALITY uniqueMemberMatch SYNTAX syntax:34 )
attributetype ( 2.5.4.35 NAME 'userPassword' EQUALITY octetStringMatch SYNTAX syntax:40 )
attributetype ( 2.5.4.24 NAME 'x121Address' EQUALITY numericStringMatch
    SUBSTR numericStringSubstringsMatch SYNTAX syntax:36 )
attributetype ( 2.5.4.45 NAME 'x500UniqueIdentifier' EQUALITY bitStringMatch SYNTAX syntax:6 )

objectclass ( 2.5.6.11 NAME 'applicationProcess' SUP top STRUCTURAL MUST cn
    MAY ( seeAlso $ ou $ l $ description ) )
objectclass ( 2.5.6.2 NAME 'country' SUP top STRUCTURAL MUST c MAY ( searchGuide $ description ) )
objectclass ( 1.3.6.1.4.1.1466.344 NAME 'dcObject' SUP top AUXILIARY MUST dc )
objectclass ( 2.5.6.14 NAME 'device' SUP top STRUCTURAL MUST cn
    MAY ( serialNumber $ seeAlso $ owner $ ou $ o $ l $ description ) )
objectclass ( 2.5.6.9 NAME 'groupOfNames' SUP top STRUCTURAL MUST ( member $ cn )
    MAY ( businessCategory $ seeAlso $ owner $ ou $ o $ description ) )
objectclass ( 2.5.6.17 NAME 'groupOfUniqueNames' SUP top STRUCTURAL MUST ( uniqueMember $ cn )
    MAY ( businessCategory $ seeAlso $ owner $ ou $ o $ description ) )
objectclass ( 2.5.6.3 NAME 'locality' SUP top STRUCTURAL
    MAY ( street $ seeAlso $ searchGuide $ st $ l $ description ) )
objectclass ( 2.5.6.4 NAME 'organization' SUP top STRUCTURAL MUST o
    MAY ( userPassword $ searchGuide $ seeAlso $ businessCategory $ x121Address $ registeredAddress
        $ destinationIndicator $ preferredDeliveryMethod $ telexNumber $ teletexTerminalIdentifier
        $ telephoneNumber $ internationalISDNNumber $ facsimileTelephoneNumber $ street $ postOfficeBox
        $ postalCode $ postalAddress $ physicalDeliveryOfficeName $ st $ l $ description ) )
objectclass ( 2.5.6.7 NAME 'organizationalPerson' SUP person STRUCTURAL
    MAY ( title $ x121Address $ registeredAddress $ destinationIndicator $ preferredDeliveryMethod
        $ telexNumber $ teletexTerminalIdentifier $ telephoneNumber $ internationalISDNNumber
        $ facsimileTelephoneNumber $ street $ postOfficeBox $ postalCode $ postalAddress
        $ physicalDeliveryOfficeName $ ou $ st $ l ) )
objectclass ( 2.5.6.8 NAME 'organizationalRole' SUP top STRUCTURAL MUST cn
    MAY ( x121Address $ registeredAddress $ destinationIndicator $ preferredDeliveryMethod $ telexNumber
        $ teletexTerminalIdentifier $ telephoneNumber $ internationalISDNNumber
        $ facsimileTelephoneNumber $ seeAlso $ roleOccupant $ street $ postOfficeBox $ postalCode
        $ postalAddress $ physicalDeliveryOfficeName $ ou $ st $ l $ description ) )
objectclass ( 2.5.6.5 NAME 'organizationalUnit' SUP top STRUCTURAL MUST ou
    MAY ( businessCategory $ description $ destinationIndicator $ facsimileTelephoneNumber
        $ internationalISDNNumber $ l $ physicalDeliveryOfficeName $ postalAddress $ postalCode
        $ postOfficeBox $ preferredDeliveryMethod $ registeredAddress $ searchGuide $ seeAlso $ st
        $ street $ telephoneNumber $ teletexTerminalIdentifier $ telexNumber $ userPassword
        $ x121Address ) )
objectclass ( 2.5.6.6 NAME 'person' SUP top STRUCTURAL MUST ( sn $ cn )
    MAY ( userPassword $ telephoneNumber $ seeAlso $ description ) )
objectclass ( 2.5.6.10 NAME 'residentialPerson' SUP person STRUCTURAL MUST l
    MAY ( businessCategory $ x121Address $ registeredAddress $ destinationIndicator
        $ preferredDeliveryMethod $ telexNumber $ teletexTerminalIdentifier $ telephoneNumber
        $ internationalISDNNumber $ facsimileTelephoneNumber $ street $ postOfficeBox $ postalCode
        $ postalAddress $ physicalDeliveryOfficeName $ st $ l ) )
objectclass ( 1.3.6.1.1.3.1 NAME 'uidObject' SUP top AUXILIARY MUST uid )

# RFC 4524: COSINE

attributetype ( 0.9.2342.19200300.100.1.37 NAME 'associatedDomain' EQUALITY caseIgnoreIA5Match
    SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26 )
attributetype ( 0.9.2342.19200300.100.1.38 NAME 'associatedName' EQUALITY distinguishedNameMatch
    SYNTAX syntax:12 )
attributetype ( 0.9.2342.19200300.100.1.48 NAME 'buildingName' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.43 NAME ( 'co' 'friendlyCountryName' ) EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 )
attributetype ( 0.9.2342.19200300.100.1.14 NAME 'documentAuthor' EQUALITY distinguishedNameMatch
    SYNTAX syntax:12 )
attributetype ( 0.9.2342.19200300.100.1.11 NAME 'documentIdentifier' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.15 NAME 'documentLocation' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.56 NAME 'documentPublisher' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 )
attributetype ( 0.9.2342.19200300.100.1.12 NAME 'documentTitle' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.13 NAME 'documentVersion' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.5 NAME ( 'drink' 'favouriteDrink' ) EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.20 NAME ( 'homePhone' 'homeTelephoneNumber' )
    EQUALITY telephoneNumberMatch SUBSTR telephoneNumberSubstringsMatch SYNTAX syntax:50 )
attributetype ( 0.9.2342.19200300.100.1.39 NAME 'homePostalAddress' EQUALITY caseIgnoreListMatch
    SUBSTR caseIgnoreListSubstringsMatch SYNTAX syntax:41 )
attributetype ( 0.9.2342.19200300.100.1.9 NAME 'host' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.4 NAME 'info' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{2048} )
attributetype ( 0.9.2342.19200300.100.1.3 NAME ( 'mail' 'rfc822Mailbox' ) EQUALITY caseIgnoreIA5Match
    SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26{256} )
attributetype ( 0.9.2342.19200300.100.1.10 NAME 'manager' EQUALITY distinguishedNameMatch SYNTAX syntax:12 )
attributetype ( 0.9.2342.19200300.100.1.41 NAME ( 'mobile' 'mobileTelephoneNumber' )
    EQUALITY telephoneNumberMatch SUBSTR telephoneNumberSubstringsMatch SYNTAX syntax:50 )
attributetype ( 0.9.2342.19200300.100.1.45 NAME 'organizationalStatus' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.42 NAME ( 'pager' 'pagerTelephoneNumber' )
    EQUALITY telephoneNumberMatch SUBSTR telephoneNumberSubstringsMatch SYNTAX syntax:50 )
attributetype ( 0.9.2342.19200300.100.1.40 NAME 'personalTitle' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.6 NAME 'roomNumber' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.21 NAME 'secretary' EQUALITY distinguishedNameMatch SYNTAX syntax:12 )
attributetype ( 0.9.2342.19200300.100.1.44 NAME 'uniqueIdentifier' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )
attributetype ( 0.9.2342.19200300.100.1.8 NAME 'userClass' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15{256} )

objectclass ( 0.9.2342.19200300.100.4.5 NAME 'account' SUP top STRUCTURAL MUST uid
    MAY ( description $ seeAlso $ l $ o $ ou $ host ) )
objectclass ( 0.9.2342.19200300.100.4.6 NAME 'document' SUP top STRUCTURAL MUST documentIdentifier
    MAY ( cn $ description $ seeAlso $ l $ o $ ou $ documentTitle $ documentVersion $ documentAuthor
        $ documentLocation $ documentPublisher ) )
objectclass ( 0.9.2342.19200300.100.4.9 NAME 'documentSeries' SUP top STRUCTURAL MUST cn
    MAY ( description $ l $ o $ ou $ seeAlso $ telephoneNumber ) )
objectclass ( 0.9.2342.19200300.100.4.13 NAME 'domain' SUP top STRUCTURAL MUST dc
    MAY ( userPassword $ searchGuide $ seeAlso $ businessCategory $ x121Address $ registeredAddress
        $ destinationIndicator $ preferredDeliveryMethod $ telexNumber $ teletexTerminalIdentifier
        $ telephoneNumber $ internationalISDNNumber $ facsimileTelephoneNumber $ street $ postOfficeBox
        $ postalCode $ postalAddress $ physicalDeliveryOfficeName $ st $ l $ description $ o
        $ associatedName ) )
objectclass ( 0.9.2342.19200300.100.4.17 NAME 'domainRelatedObject' SUP top AUXILIARY MUST associatedDomain )
objectclass ( 0.9.2342.19200300.100.4.18 NAME 'friendlyCountry' SUP country STRUCTURAL MUST co )
objectclass ( 0.9.2342.19200300.100.4.14 NAME 'rFC822localPart' SUP domain STRUCTURAL
    MAY ( cn $ description $ destinationIndicator $ facsimileTelephoneNumber $ internationalISDNNumber
        $ physicalDeliveryOfficeName $ postalAddress $ postalCode $ postOfficeBox
        $ preferredDeliveryMethod $ registeredAddress $ seeAlso $ sn $ street $ telephoneNumber
        $ teletexTerminalIdentifier $ telexNumber $ x121Address ) )
objectclass ( 0.9.2342.19200300.100.4.7 NAME 'room' SUP top STRUCTURAL MUST cn
    MAY ( roomNumber $ description $ seeAlso $ telephoneNumber ) )
objectclass ( 0.9.2342.19200300.100.4.19 NAME 'simpleSecurityObject' SUP top AUXILIARY MUST userPassword )

# RFC 2798: inetOrgPerson, and what it takes from elsewhere (labeledURI: RFC 2079; audio, photo: RFC 1274)

attributetype ( 2.16.840.1.113730.3.1.1 NAME 'carLicense' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 )
attributetype ( 2.16.840.1.113730.3.1.2 NAME 'departmentNumber' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 )
attributetype ( 2.16.840.1.113730.3.1.241 NAME 'displayName' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 SINGLE-VALUE )
attributetype ( 2.16.840.1.113730.3.1.3 NAME 'employeeNumber' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 SINGLE-VALUE )
attributetype ( 2.16.840.1.113730.3.1.4 NAME 'employeeType' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 )
attributetype ( 0.9.2342.19200300.100.1.60 NAME 'jpegPhoto' SYNTAX syntax:28 )
attributetype ( 2.16.840.1.113730.3.1.39 NAME 'preferredLanguage' EQUALITY caseIgnoreMatch
    SUBSTR caseIgnoreSubstringsMatch SYNTAX syntax:15 SINGLE-VALUE )
attributetype ( 2.16.840.1.113730.3.1.40 NAME 'userSMIMECertificate' SYNTAX syntax:5 )
attributetype ( 2.16.840.1.113730.3.1.216 NAME 'userPKCS12' SYNTAX syntax:5 )
attributetype ( 2.5.4.36 NAME 'userCertificate' EQUALITY certificateExactMatch SYNTAX syntax:8 )
attributetype ( 0.9.2342.19200300.100.1.55 NAME 'audio' EQUALITY octetStringMatch SYNTAX syntax:40{250000} )
attributetype ( 0.9.2342.19200300.100.1.7 NAME 'photo' SYNTAX syntax:23 )
attributetype ( 1.3.6.1.4.1.250.1.57 NAME 'labeledURI' EQUALITY caseExactMatch
    SUBSTR caseExactSubstringsMatch SYNTAX syntax:15 )

objectclass ( 2.16.840.1.113730.3.2.2 NAME 'inetOrgPerson' SUP organizationalPerson STRUCTURAL
    MAY ( audio $ businessCategory $ carLicense $ departmentNumber $ displayName $ employeeNumber
        $ employeeType $ givenName $ homePhone $ homePostalAddress $ initials $ jpegPhoto $ labeledURI
        $ mail $ manager $ mobile $ o $ pager $ photo $ roomNumber $ secretary $ uid $ userCertificate
        $ x500UniqueIdentifier $ preferredLanguage $ userSMIMECertificate $ userPKCS12 ) )

# RFC 4523: certificates; without the rules that compare by components of lists and pairs

attributetype ( 2.5.4.37 NAME 'cACertificate' EQUALITY certificateExactMatch SYNTAX syntax:8 )
attributetype ( 2.5.4.40 NAME 'crossCertificatePair' SYNTAX syntax:10 )
attributetype ( 2.5.4.39 NAME 'certificateRevocationList' SYNTAX syntax:9 )
attributetype ( 2.5.4.38 NAME 'authorityRevocationList' SYNTAX syntax:9 )
attributetype ( 2.5.4.53 NAME 'deltaRevocationList' SYNTAX syntax:9 )
attributetype ( 2.5.4.52 NAME 'supportedAlgorithms' SYNTAX syntax:49 )

objectclass ( 2.5.6.21 NAME 'pkiUser' SUP top AUXILIARY MAY userCertificate )
objectclass ( 2.5.6.22 NAME 'pkiCA' SUP top AUXILIARY
    MAY ( cACertificate $ certificateRevocationList $ authorityRevocationList $ crossCertificatePair ) )
objectclass ( 2.5.6.19 NAME 'cRLDistributionPoint' SUP top STRUCTURAL MUST cn
    MAY ( certificateRevocationList $ authorityRevocationList $ deltaRevocationList ) )
objectclass ( 2.5.6.23 NAME 'deltaCRL' SUP top AUXILIARY MAY deltaRevocationList )
objectclass ( 2.5.6.15 NAME 'strongAuthenticationUser' SUP top AUXILIARY MUST userCertificate )
objectclass ( 2.5.6.18 NAME 'userSecurityInformation' SUP top AUXILIARY MAY supportedAlgorithms )
objectclass ( 2.5.6.16 NAME 'certificationAuthority' SUP top AUXILIARY
    MUST ( authorityRevocationList $ certificateRevocationList $ cACertificate )
    MAY crossCertificatePair )
objectclass ( 2.5.6.16.2 NAME 'certificationAuthority-V2' SUP certificationAuthority AUXILIARY
    MAY deltaRevocationList )

# RFC 2079

objectclass ( 1.3.6.1.4.1.250.3.15 NAME 'labeledURIObject' SUP top AUXILIARY MAY labeledURI )

# RFC 2307: only what authorization names of other servers' local sockets are made of
# (gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth in an imported creatorsName)

attributetype ( 1.3.6.1.1.1.1.0 NAME 'uidNumber' EQUALITY integerMatch ORDERING integerOrderingMatch
    SYNTAX syntax:27 SINGLE-VALUE )
attributetype ( 1.3.6.1.1.1.1.1 NAME 'gidNumber' EQUALITY integerMatch ORDERING integerOrderingMatch
    SYNTAX syntax:27 SINGLE-VALUE )

# RFC 2985: a legacy attribute that names in certificates use

attributetype ( 1.2.840.113549.1.9.1 NAME ( 'email' 'emailAddress' 'pkcs9email' )
    EQUALITY caseIgnoreIA5Match SUBSTR caseIgnoreIA5SubstringsMatch SYNTAX syntax:26{128} )
"""
