"""Messages to people by any channel that `apprise` knows: one channel, one message, accepted or not. Addresses are never shown."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Channel:
    """A channel: its apprise URL, which holds credentials and appears nowhere, and its name in messages."""

    url: str = field(repr=False)
    name: str

    @property
    def id(self) -> str:
        """Identifies the channel without revealing its address."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def send(self, title: str, text: str) -> bool:
        """Send a message.

        Returns:
            Whether the channel accepted it: not if it is down, or if apprise doesn't know its URL.
        """
        import apprise

        _silence_apprise()
        sender = apprise.Apprise()
        return bool(sender.add(self.url)) and bool(sender.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT))

    @property
    def is_known(self) -> bool:
        """Whether apprise knows the kind of URL."""
        import apprise

        _silence_apprise()
        return apprise.Apprise.instantiate(self.url, suppress_exceptions=True) is not None


def channels_of(urls: Sequence[str]) -> list[Channel]:
    """A channel for each URL, named by its position and kind (`1 (slack)`)."""
    return [Channel(url, f"{number} ({url.partition('://')[0]})") for number, url in enumerate(urls, 1)]


def _silence_apprise() -> None:
    """Keep apprise from logging, since its lines hold addresses."""
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
