"""Which texts were met before, in memory that does not grow with their number."""

import hashlib
import sqlite3


class Seen:
    """A set of texts that only grows: 16 bytes of SHA-256 each, in a temporary database that spills to disk.

    Two texts out of a billion share 16 bytes with a chance below 1e-20.
    """

    def __init__(self):
        self._database = sqlite3.connect("")  # an unnamed file, gone with the connection
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE seen (key BLOB PRIMARY KEY) WITHOUT ROWID")

    def add(self, text: str) -> bool:
        """True where the text is new."""
        return self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (_key(text),)).rowcount == 1

    def __contains__(self, text: str) -> bool:
        return self._database.execute("SELECT 1 FROM seen WHERE key = ?", (_key(text),)).fetchone() is not None


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
