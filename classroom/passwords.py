"""Who may log in: the names of a list. The first password that is typed for a name is its own from then on."""

import asyncio
import hmac
import json
import os
from functools import partial
from pathlib import Path
from threading import Lock

from jupyterhub.auth import Authenticator
from traitlets import Unicode

from classroom.settings import names_in
from ftcourse.engine.folders import written_whole
from ftcourse.room.people import scrambled

SHORTEST = 8
LOCK = Lock()  # a class logs in at once, and each password is worked out in a thread
COST = 2**14  # of a password: people choose them more carelessly than tokens are made


class Passwords:
    """Passwords by name, kept as scrypt hashes in a file that only the server reads.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     passwords = Passwords(Path(folder, "passwords.json"))
    ...     [passwords.check("maha", word) for word in ("short", "blue door 7", "blue door 7", "green door 7")]
    [False, True, True, False]
    """

    def __init__(self, path: Path):
        self.path = path

    def read(self) -> dict[str, str]:
        """The hashes by name."""
        return json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}

    def check(self, name: str, password: str) -> bool:
        """Whether a password is a name's. The first one, if it is long enough, becomes it."""
        with LOCK:
            known = self.read()
            if name not in known:
                return len(password) >= SHORTEST and self.set(name, password)
        salt, kept = known[name].split(":")
        return hmac.compare_digest(kept, scrambled(password, bytes.fromhex(salt), COST))

    def set(self, name: str, password: str) -> bool:
        """Makes a password a name's."""
        salt = os.urandom(16)
        known = self.read() | {name: f"{salt.hex()}:{scrambled(password, salt, COST)}"}
        only_mine = partial(os.open, mode=0o600)
        with written_whole(self.path) as part, open(part, "w", encoding="utf-8", opener=only_mine) as file:
            json.dump(known, file, indent=1)
        return True


class ListAuthenticator(Authenticator):
    """Lets in those whose names are in a list. A name that is added there may log in at once."""

    learners = Unicode(config=True, help="The file with the names.")
    passwords = Unicode(config=True, help="The file with the hashes of the passwords.")

    async def authenticate(self, handler, data) -> str | None:
        """The name, where name and password belong together."""
        name, passwords = self.normalize_username(data["username"].strip()), Passwords(Path(self.passwords))
        known = name in names_in(Path(self.learners)) or name in self.admin_users
        if known and await asyncio.to_thread(passwords.check, name, data["password"]):
            return name
        await asyncio.sleep(1)  # whoever guesses has time
        return None
