"""The node's sockets for mail: one Protocol that runs any dialogue's core, connections that
are joined, dialling, listening, TLS.  What must not live here: what a dialogue says."""
