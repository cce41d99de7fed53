"""A process that writes until it is killed: ``python -m tests.node.crashing VERB FOLDER``.

It prints a line for each transaction once that is durable.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future
from functools import partial
from itertools import count
from pathlib import Path

from storage import records
from storage.changes import Kind
from storage.keys import ROOT
from storage.loader import Loader
from storage.store import Store
from storage.txn import WriteTransaction
from tests.storage import world
from tests.storage.world import CN, MAIL, host

GROUP = 3
KEPT = 40
LOAD = 3000
_LONG = b"x" * 5000


def say(number: int, _: Future[None] | None = None) -> None:
    print(number, flush=True)


def member(number: int, index: int) -> records.Record:
    attributes = ((CN, b"group %d" % number), (MAIL, b"%d.%d@x" % (number, index)), (3, _LONG))
    return world.record(rdn=b"cn=%d.%d" % (number, index), attributes=attributes)


def write_group(number: int, txn: WriteTransaction) -> None:
    """One transaction: entries of one number come, those of an old one go."""
    csn = txn.next_csn()
    txn.log(Kind.ADD, csn, [world.add(txn, member(number, index)) for index in range(GROUP)])
    for index in range(GROUP):
        old = txn.child(ROOT, b"cn=%d.%d" % (number - KEPT, index))
        if old is not None:
            world.delete(txn, old)
    txn.set_meta(b"group", b"%d" % number)


def groups(store: Store) -> None:
    """Through the writer, several at a time."""
    with store.snapshot() as snapshot:
        start = int(snapshot.meta(b"group") or b"0") + 1
    waiting: list[Future[None]] = []
    for number in count(start):
        future = store.writer.submit(partial(write_group, number))
        future.add_done_callback(partial(say, number))
        waiting.append(future)
        if len(waiting) == 8:
            waiting.pop(0).result()


def moves(store: Store) -> None:
    """All accounts from one host to another and back."""
    for number in count(1):
        with store.write() as txn:
            here, there = host("be3"), host("be5")
            if not txn.placements_of_host(here.key):
                here, there = there, here
            numbers = txn.placements_of_host(here.key)
            world.rehost(txn, here, there)
            txn.log(Kind.MOVE, txn.last_csn(), numbers)
        say(number)


def loads(store: Store) -> None:
    """Thousands of entries in each transaction."""
    for number in count(1):
        with store.write() as txn:
            parent = world.add(txn, world.record(rdn=b"ou=%d" % txn.last_entry()))
            loader = Loader(txn)
            for index in range(LOAD):
                record = world.record(parent, b"uid=%d" % index, attributes=((MAIL, b"%d@x" % index),))
                loader.add(record.rdn, records.pack(record), world.terms(record).equality, ())
            loader.flush()
        say(number)


VERBS = {verb.__name__: verb for verb in (groups, moves, loads)}

if __name__ == "__main__":
    VERBS[sys.argv[1]](Store.open(Path(sys.argv[2])))
