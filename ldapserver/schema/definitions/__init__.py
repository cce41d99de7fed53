"""The standard definitions: data only, RFC 4512 text that ``standard.py`` parses."""
