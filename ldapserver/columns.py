"""Blocks of LDIF whose records are all alike, prepared column by column.

An export of accounts is mostly that: the same lines in the same order, tens of thousands
of times.  Such a block is taken apart into columns, one for each line of a record, and
every step is one pass of C code over a column in place of Python code for each record.
Whatever is out of the ordinary (folded lines, comments, names that need escapes, a value
that is wrong) makes ``prepare`` give up, and ``Preparer`` takes the block, which does the
same and says what is wrong.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import add
from typing import NamedTuple, TypeAlias

from ldapserver.preparing import Known, Part, Plan, Preparer, Unnumbered
from ldapserver.results import LDAPError
from ldapserver.wire.ber import length
from storage import records
from storage.keys import Term

Column: TypeAlias = list[bytes]


class Columns(NamedTuple):
    """What a block comes to; all columns have an item for each entry.

    ``line`` is the first record's and ``lines`` how many each takes.  ``tails`` are records
    without parent and placement; ``terms`` columns of index terms; ``texts`` columns of
    texts to cut into grams, each with its prefix.  Plain types only, as ``Prepared``.
    """

    line: int
    lines: int
    rdns: Column
    parents: list[str]
    hosts: list[bytes] | None
    old_hosts: list[bytes] | None
    tails: Column
    terms: list[list[Term]]
    texts: list[tuple[bytes, Column]]

    def part(self, start: int, stop: int) -> Columns:
        """Some of the entries."""
        return Columns(
            self.line + self.lines * start,
            self.lines,
            self.rdns[start:stop],
            self.parents[start:stop],
            None if self.hosts is None else self.hosts[start:stop],
            None if self.old_hosts is None else self.old_hosts[start:stop],
            self.tails[start:stop],
            [column[start:stop] for column in self.terms],
            [(prefix, column[start:stop]) for prefix, column in self.texts],
        )


# Fewer records than this are no work.
_FEW = 32
# Where there are this many times as many entries as values, each value is prepared once.
_REPEATED = 4
_PLAIN_VALUES = re.compile(rb"[A-Za-z0-9._@\n-]+")
_PLAIN_PARENTS = re.compile(rb"[A-Za-z0-9._@\n,= -]*")
# In a block that has one of these, lines are not what they seem.
_UNUSUAL = (b"\n ", b":  ", b"\n#", b":< ", b"\nchangetype:", b"\ncontrol:")


class _GivenUp(Exception):
    pass


def prepare(preparer: Preparer, line: int, block: bytes) -> Columns | None:
    """The block's entries, or None: then ``preparer`` must do it."""
    if any(mark in block for mark in _UNUSUAL):
        return None
    rows = [record.split(b"\n") for record in block.rstrip(b"\n").split(b"\n\n")]
    width = len(rows[0])
    if len(rows) < _FEW or width < 2 or any(map(width.__ne__, map(len, rows))):
        return None
    try:
        return _Block(preparer, rows).columns(line, width + 1)
    except (_GivenUp, Unnumbered, LDAPError, ValueError, OverflowError):
        return None


class _Block:
    def __init__(self, preparer: Preparer, rows: list[list[bytes]]) -> None:
        self._preparer = preparer
        dns, *lines = (list(column) for column in zip(*rows, strict=True))
        self._count = len(rows)
        self._dns = _after(b"dn: ", dns)
        split = [_split(column) for column in lines]
        self._names = tuple(name for name, _ in split)
        self._values = tuple(values for _, values in split)

    def columns(self, line: int, lines: int) -> Columns:
        preparer = self._preparer
        plan = preparer.plan_of(self._names)
        rdns, parents, rdn_keys = self._naming(plan)
        encoded: list[Column] = []
        terms: list[list[Term]] = []
        texts: list[tuple[bytes, Column]] = []
        hosts: dict[str, Column] = {}
        for known, values_in in plan.groups:
            columns: tuple[Column, ...] = values_in(self._values)
            if known.past:
                raise _GivenUp
            if known.placed:
                self._each_once(known, columns)
                (hosts[known.description.text],) = columns
                continue
            if known.name == b"objectClass":
                for classes in set(zip(*columns, strict=True)):
                    preparer.check_shape(classes, plan)
            bodies, more_terms, more_texts = self._prepare(known, columns)
            encoded.append(bodies)
            terms += more_terms
            texts += more_texts
        uuids = [preparer.new_uuid() for _ in range(self._count)]
        terms.append(list(map(add, repeat(preparer.uuid_prefix), uuids)))
        tails = records.assemble_tails(preparer.stamp, uuids, rdns, plan.shape, encoded)
        old_hosts = hosts.get("oldHostServer")
        return Columns(
            line, lines, rdn_keys, parents, hosts.get("hostServer"), old_hosts, tails, terms, texts
        )

    def _naming(self, plan: Plan) -> tuple[Column, list[str], Column]:
        """RDNs, the DNs above them, and normalised RDNs."""
        rdns, parents = self._cut_dns()
        kind = rdns[0].partition(b"=")[0]
        values = _after(kind + b"=", rdns)
        if not all(values) or not _PLAIN_VALUES.fullmatch(b"\n".join(values)):
            raise _GivenUp
        if self._names.count(kind) != 1 or self._values[self._names.index(kind)] != values:
            raise _GivenUp
        normal = self._preparer.naming(kind)
        if normal is None:
            raise _GivenUp
        prefix, normalise = normal
        return rdns, [parent.decode() for parent in parents], [prefix + normalise(value) for value in values]

    def _cut_dns(self) -> tuple[Column, Column]:
        pairs = [dn.split(b",", 1) for dn in self._dns]
        if any(map((2).__ne__, map(len, pairs))):
            raise _GivenUp
        rdns, parents = (list(column) for column in zip(*pairs, strict=True))
        if not all(_PLAIN_PARENTS.fullmatch(parent) for parent in set(parents)):
            raise _GivenUp
        return rdns, parents

    def _prepare(
        self, known: Known, columns: tuple[Column, ...]
    ) -> tuple[Column, list[list[Term]], list[tuple[bytes, Column]]]:
        """The attribute's BER, its terms and its texts."""
        parts = self._each_once(known, columns)
        if parts is not None:
            return _unfolded(parts)
        (values,) = columns
        if known.password:
            return _encoded(known.name, self._preparer.hashed(values)), [], []
        if not all(map(known.description.type.accepts, values)):
            raise _GivenUp
        terms, texts = self._preparer.rows_of(known, values)
        columns_of_texts = [(texts[0][0], [text for _, text in texts])] if texts else []
        return _encoded(known.name, values), [terms] if terms else [], columns_of_texts

    def _each_once(self, known: Known, columns: tuple[Column, ...]) -> list[Part] | None:
        """The parts of values that come again and again; None where they are too many."""
        rows = list(zip(*columns, strict=True))
        distinct = set(rows)
        if (
            len(columns) == 1
            and not known.placed
            and (known.password or len(distinct) * _REPEATED > self._count)
        ):
            return None
        part_of = {values: self._preparer.part_of(known, values) for values in distinct}
        return list(map(part_of.__getitem__, rows))


def _after(prefix: bytes, column: Column) -> Column:
    if not all(map(bytes.startswith, column, repeat(prefix))):
        raise _GivenUp
    size = len(prefix)
    return [line[size:] for line in column]


def _split(column: Column) -> tuple[bytes, Column]:
    """A column of lines as the attribute's name and the values."""
    name, separator, _ = column[0].partition(b": ")
    if not separator:
        raise _GivenUp
    values = _after(name + separator, column)
    if name.endswith(b":"):
        return name[:-1], list(map(_from_base64, values))
    return name, values


def _from_base64(value: bytes) -> bytes:
    return binascii.a2b_base64(value, strict_mode=True)


def _unfolded(parts: list[Part]) -> tuple[Column, list[list[Term]], list[tuple[bytes, Column]]]:
    """Each column from parts that all have as many terms and texts."""
    first = parts[0]
    if any(len(part.terms) != len(first.terms) or len(part.texts) != len(first.texts) for part in parts):
        raise _GivenUp
    terms = [[part.terms[at] for part in parts] for at in range(len(first.terms))]
    texts = [(first.texts[at][0], [part.texts[at][1] for part in parts]) for at in range(len(first.texts))]
    return [part.encoded for part in parts], terms, texts


def _encoded(name: bytes, values: Sequence[bytes]) -> Column:
    """PartialAttributes of one value each: what stands before it depends on its length only."""
    head = _heads(name)
    return list(map(add, map(head, map(len, values)), values))


def _heads(name: bytes) -> Callable[[int], bytes]:
    kept: dict[int, bytes] = {}

    def head(size: int) -> bytes:
        found = kept.get(size)
        if found is None:
            value = b"\x04" + length(size)
            values = b"\x31" + length(len(value) + size) + value
            kind = b"\x04" + length(len(name)) + name
            found = kept[size] = b"\x30" + length(len(kind) + len(values) + size) + kind + values
        return found

    return head
