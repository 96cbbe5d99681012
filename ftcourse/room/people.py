"""Who may write: a token is a name, a colon and a secret word, and whoever has it writes under that name only."""

import hashlib
import hmac
import json
import os
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from ftcourse.room.names import OWN, Refusal, check_name
from ftcourse.room.storage import write_json

SECRET_LENGTHS = range(4, 65)
# A wrong token is answered with 403, not 401: of a 401 clients show only words of their own.
EXAMPLE = "name:secret"  # what the printed settings show: nobody's token


def scrambled(secret: str, salt: bytes, cost: int = 2**12) -> str:
    """A secret as it is kept: so that who reads the file does not have it. Twice the cost, twice the time to guess."""
    return hashlib.scrypt(secret.encode(), salt=salt, n=cost, r=8, p=1).hex()


def split_token(token: str) -> tuple[str, str]:
    """The name and the secret of a token; a `Refusal` where it is none, or one of the real Hub.

    >>> split_token("maha:blue7")
    ('maha', 'blue7')
    """
    if token.startswith(("hf_", "api_")):
        raise Refusal("token_real", 403)
    name, _, secret = token.partition(":")
    if token == EXAMPLE:
        raise Refusal("token_example", 403, given=token)
    if len(secret) not in SECRET_LENGTHS or not secret.isascii() or not secret.isalnum():
        raise Refusal("token_shape", 403)
    return check_name(name), secret


class People:
    """The names that may write, and their secrets, in a folder.

    With `tokens`, those and no others. Without, a name belongs to the first token that is used for it: so nobody has
    to be registered, and yet nobody writes under another's name. `reserved` names belong to nobody.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     people = People(Path(folder))
    ...     people.name_of("maha:blue7")
    ...     people.name_of("maha:guessed")
    Traceback (most recent call last):
    ftcourse.room.names.Refusal: token_wrong
    """

    def __init__(self, folder: Path, tokens: Iterable[str] = (), reserved: Iterable[str] = ()):
        self.folder, self.lock, self.known = folder, Lock(), set()
        self.given = {name.lower(): (name, secret) for name, secret in map(split_token, tokens)}
        self.reserved = {name.lower() for name in (*OWN, *reserved)} - set(self.given)

    def name_of(self, token: str) -> str:
        """Whose token it is; a `Refusal` where it is nobody's."""
        name, secret = split_token(token)
        if name.lower() in self.reserved:
            raise Refusal("reserved", 403, given=name)
        if self.given:
            known, expected = self.given.get(name.lower(), (name, ""))
            if not hmac.compare_digest(secret, expected) or known != name:
                raise Refusal("token_unknown", 403, given=name)
        elif token not in self.known:
            self.check_claim(name, secret)
            self.known.add(token)
        return name

    def path(self, name: str) -> Path:
        """Where it is kept to whom a name belongs."""
        return self.folder / f"{name.lower()}.json"

    def check_claim(self, name: str, secret: str) -> None:
        """Let a name belong to the secret, where it belongs to none; a `Refusal` where it belongs to another."""
        path = self.path(name)
        with self.lock:
            if path.is_file():
                claim = json.loads(path.read_text(encoding="utf-8"))
                right = hmac.compare_digest(scrambled(secret, bytes.fromhex(claim["salt"])), claim["secret"])
                if not right or claim["name"] != name:
                    raise Refusal("token_wrong", 403, given=name)
                return
            salt = os.urandom(16)
            self.folder.mkdir(parents=True, exist_ok=True)
            claim = {"name": name, "salt": salt.hex(), "secret": scrambled(secret, salt)}
            write_json(path, claim, path.with_name(f".{path.name}.part"))
