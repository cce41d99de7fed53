"""Channels that are kept for the next message to their destination: few, and not for long.

What must not live here: how long one is kept (``terms``), and what is sent on it.
"""

from __future__ import annotations

from collections import OrderedDict

from cgnode.frontend.delivery.channel import Channel
from cgnode.frontend.queue.values import Destination


class Idle:
    """At most ``most`` in all; the one that was kept first goes first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_destination: dict[Destination, OrderedDict[Channel, None]] = {}
        self._all: OrderedDict[Channel, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._all)

    def keep(self, channel: Channel) -> None:
        channel.keep()
        self._all[channel] = None
        self._by_destination.setdefault(channel.destination, OrderedDict())[channel] = None
        if len(self._all) > self._most:
            oldest = next(iter(self._all))
            self.remove(oldest)
            oldest.quit()

    def take(self, destination: Destination) -> Channel | None:
        """The one that was used last: it is the most likely to be open still."""
        channels = self._by_destination.get(destination)
        while channels:
            channel = next(reversed(channels))
            self.remove(channel)
            if channel.ready:
                return channel
        return None

    def remove(self, channel: Channel) -> None:
        if channel in self._all:
            del self._all[channel]
            channels = self._by_destination[channel.destination]
            del channels[channel]
            if not channels:
                del self._by_destination[channel.destination]

    def drop(self, destination: Destination | None = None) -> None:
        """Say good-bye on all, or those to a destination."""
        channels = list(self._all if destination is None else self._by_destination.get(destination, ()))
        for channel in channels:
            self.remove(channel)
            channel.quit()
