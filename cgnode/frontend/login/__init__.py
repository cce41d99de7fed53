"""A frontend's IMAP and POP3: the dialogue until a client is logged in at its host, then a
byte pump."""
