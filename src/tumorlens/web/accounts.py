"""Who may read: accounts with passwords (Argon2id), the cookies of browsers, and tokens for programs."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from sqlmodel import Session, col, delete, select

from tumorlens.errors import ConfigError
from tumorlens.web.database import Database
from tumorlens.web.tables import ADMIN, ROLES, Account, Token, Visit

VISIT_SECONDS = 12 * 3600
"""After which a browser must log in again: a working day."""

MIN_PASSWORD = 12
_TRIES = parse("30 per 10 minutes")  # wrong passwords for one account, from all addresses
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


@dataclass(frozen=True)
class Reader:
    """The account that a request is of: its name, its role ("reader" or "admin"), and whether a token says so."""

    name: str
    role: str
    by_token: bool = False

    @property
    def is_admin(self) -> bool:
        """Whether accounts and the audit log are theirs to see."""
        return self.role == ADMIN


class Accounts:
    """Accounts, visits and tokens. Passwords are kept as Argon2id, cookies and tokens as SHA-256."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._hasher = PasswordHasher()
        self._tries = MovingWindowRateLimiter(MemoryStorage())
        # Checked when there is no such account, so that both answers take as long.
        self._nobody = self._hasher.hash(secrets.token_hex())

    def add(self, name: str, password: str, role: str) -> Account:
        """Adds an account; ConfigError if the name is taken or no name, the password short, or the role unknown."""
        if not _NAME.fullmatch(name):
            raise ConfigError("an account's name is up to 64 letters, digits and . _ @ -")
        if role not in ROLES:
            raise ConfigError(f"no role {role!r}; choose {' or '.join(ROLES)}")
        account = Account(name=name, password=self._hash(password), role=role)
        with self._database.alone() as session:
            if session.get(Account, name):
                raise ConfigError(f"there is an account {name} already")
            session.add(account)
        return account

    def set_password(self, name: str, password: str) -> None:
        """Changes a password, which ends logins and tokens; ConfigError if it is short, or there is no such account."""
        hashed = self._hash(password)
        with self._database.alone() as session:
            account = _existing(session, name)
            account.password = hashed
            session.exec(delete(Visit).where(col(Visit.account) == name))
            session.exec(delete(Token).where(col(Token.account) == name))

    def remove(self, name: str) -> None:
        """Removes an account and its tokens, not its feedback; ConfigError if there is none, or no other admin."""
        with self._database.alone() as session:
            account = _existing(session, name)
            admins = session.exec(select(Account.name).where(col(Account.role) == ADMIN)).all()
            if list(admins) == [name]:
                raise ConfigError(f"{name} is the last admin; make another first")
            session.delete(account)

    def all(self) -> list[Account]:
        """Every account, by name."""
        return self._database.all(select(Account).order_by(col(Account.name)))

    def may_try(self, name: str) -> bool:
        """Whether a password may be tried for an account: not after many wrong ones in a while, whoever tries."""
        return self._tries.test(_TRIES, name)

    def log_in(self, name: str, password: str) -> str | None:
        """The cookie of a new visit, or None if name and password do not fit."""
        with self._database.session() as session:
            account = session.get(Account, name)
        try:
            self._hasher.verify(account.password if account else self._nobody, password)
        except (Argon2Error, InvalidHashError):
            self._tries.hit(_TRIES, name)
            return None
        if account is None or account.disabled:
            return None
        cookie = secrets.token_urlsafe(32)
        with self._database.alone() as session:
            session.exec(delete(Visit).where(col(Visit.expires) < time.time()))
            session.add(Visit(key=_key(cookie), account=name, expires=time.time() + VISIT_SECONDS))
        return cookie

    def log_out(self, cookie: str) -> None:
        """Ends a browser session."""
        with self._database.alone() as session:
            session.exec(delete(Visit).where(col(Visit.key) == _key(cookie)))

    def add_token(self, name: str, purpose: str, days: float = 365) -> str:
        """A token for a program that acts as an account, shown once; ConfigError if there is no such account."""
        token = f"tl_{secrets.token_urlsafe(32)}"
        with self._database.alone() as session:
            if session.get(Account, name) is None:
                raise ConfigError(f"no account {name}; add it with: tumorlens accounts add {name}")
            session.add(Token(key=_key(token), account=name, purpose=purpose[:80], expires=time.time() + days * 86400))
        return token

    def tokens(self, name: str | None = None) -> list[Token]:
        """Tokens of an account, or all."""
        query = select(Token).order_by(col(Token.created))
        return self._database.all(query if name is None else query.where(col(Token.account) == name))

    def revoke(self, token_id: str, name: str | None = None) -> bool:
        """Ends a token, of an account or anybody's; whether there was one."""
        with self._database.alone() as session:
            token = session.exec(select(Token).where(col(Token.id) == token_id)).first()
            if token is None or name not in (None, token.account):
                return False
            session.delete(token)
            return True

    def who(self, *, cookie: str | None = None, token: str | None = None) -> Reader | None:
        """Account of a session cookie or token; None if it is no valid one."""
        shown = token or cookie
        if not shown:
            return None
        with self._database.session() as session:
            valid = session.get(Token, _key(shown)) if token else session.get(Visit, _key(shown))
            if valid is None or valid.expires < time.time():
                return None
            account = session.get(Account, valid.account)
        if account is None or account.disabled:
            return None
        return Reader(account.name, account.role, by_token=token is not None)

    def _hash(self, password: str) -> str:
        if len(password) < MIN_PASSWORD:
            raise ConfigError(f"the password is shorter than {MIN_PASSWORD} characters")
        if len(password) > 1000:
            raise ConfigError("the password is longer than 1,000 characters")
        return self._hasher.hash(password)


def _existing(session: Session, name: str) -> Account:
    if (account := session.get(Account, name)) is None:
        raise ConfigError(f"no account {name}")
    return account


def _key(shown: str) -> str:
    # They are random and long, so a plain hash keeps them: nothing can be guessed.
    return hashlib.sha256(shown.encode()).hexdigest()
