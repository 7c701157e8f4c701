"""Messages to people, by whatever channel `apprise` knows. Thin: one channel, one message, taken or not. Addresses are never shown."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Channel:
    """One channel: its apprise URL, which holds credentials and appears nowhere, and the name that it is spoken of by."""

    url: str = field(repr=False)
    name: str

    @property
    def id(self) -> str:
        """Tells channels apart without giving the address away."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]

    def send(self, title: str, text: str) -> bool:
        """Send a message.

        Returns:
            Whether the channel took it; one that is down, or whose URL apprise doesn't know, did not.
        """
        import apprise

        # Its own log lines would name addresses.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        sender = apprise.Apprise()
        return bool(sender.add(self.url)) and bool(sender.notify(title=title, body=text, body_format=apprise.NotifyFormat.TEXT))

    @property
    def is_known(self) -> bool:
        """Whether apprise knows what the URL means."""
        import apprise

        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        return apprise.Apprise.instantiate(self.url, suppress_exceptions=True) is not None


def channels(urls: tuple[str, ...]) -> list[Channel]:
    """A channel for each URL, named by its place and kind (`1 (slack)`)."""
    return [Channel(url, f"{number} ({url.partition('://')[0]})") for number, url in enumerate(urls, 1)]
