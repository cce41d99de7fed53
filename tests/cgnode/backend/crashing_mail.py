"""A process that works on an account until it is killed:
``python -m tests.cgnode.backend.crashing_mail FOLDER NAME SEED``.

It says what it is about to do, and then, once that is durable, that it is done.  Its messages
begin with its name; it does away with none but its own.
"""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path
from random import Random

from cgnode.backend.maildir import uidlist
from cgnode.backend.store import DELETED, FLAGGED, INBOX, SEEN, How, View
from tests.cgnode.backend.mailing import ALICE, append, deliver, name_of, open_store

FOLDERS = (INBOX, "Sent", "Trash")


def say(word: str, **what: object) -> None:
    print(json.dumps({"word": word, **what}), flush=True)


def own(view: View, name: str) -> dict[int, str]:
    found = {}
    for uid in list(view.uids)[-12:]:
        label = name_of(view, uid)
        say("seen", uidvalidity=view.uidvalidity, uid=uid, label=label)
        if label.startswith(name):
            found[uid] = label
    return found


def work(folder: Path, name: str, random: Random) -> None:
    uidlist.SPARE_LINES = 10  # so that lists are often written anew
    account = open_store(folder, sync=True).account(ALICE)
    for number in count():
        label = f"{name}.{number}"
        place, other = random.sample(FOLDERS, 2)
        say("begin", come=[label])
        if random.random() < 0.5:
            deliver(account, label, place)
            say("done", come=[label])
        else:
            uid = append(account, label, place, flags=[SEEN] * random.randrange(2))
            say("done", come=[label], uid=uid)
        with account.select(place) as view:
            mine = own(view, name)
            some = random.sample(sorted(mine), len(mine) // 3)
            view.store(some, random.choice(list(How)), frozenset({FLAGGED, "$k"}))
            if number % 3 == 0:
                view.move(some, other)
            elif number % 3 == 1:
                gone = [mine[uid] for uid in some]
                say("begin", go=gone)
                view.store(some, How.ADD, frozenset({DELETED}))
                view.expunge(some)
                say("done", go=gone)
            view.look()


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], Random(sys.argv[3]))
