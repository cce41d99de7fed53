"""The scenario: a whole cluster on this machine, a backend that dies, and no message lost.

``cluster`` starts the nodes, ``traffic`` sends and reads mail meanwhile, ``scenario`` is what
happens and what must be true of it.  ``bin/demo`` shows it, ``tests/node`` runs it as a test.
"""
