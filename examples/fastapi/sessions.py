"""Users, passwords and who is logged in: the application's own tables.

Of a password there is a hash with a salt of its own; of the secret in a cookie there is a hash, so
that who reads the table cannot log in.
"""
import asyncio
import hashlib
import hmac
import secrets

import asyncpg

COOKIE = 'session'
KNOWN_WITHIN = 10  # seconds
COST = {'n': 2**14, 'r': 8, 'p': 1}


def hash_of(token):
    return hashlib.sha256(token.encode()).digest()


async def hash_password(password, salt=None):
    salt = salt or secrets.token_hex(16)
    # It takes a while on purpose: not in the thread that serves everybody.
    key = await asyncio.to_thread(hashlib.scrypt, password.encode(), salt=salt.encode(), **COST)
    return f'{salt}:{key.hex()}'


async def until_known(pool, user):
    """Shards, where there are any, hear of a new user a moment later."""
    while True:
        try:
            return await pool.execute('SELECT FROM chatrel.unread_counts(as_user => $1)', user)
        except asyncpg.NoDataFoundError:
            await asyncio.sleep(0.05)


async def sign_up(pool, home, username, password):
    """Makes a user, whom chatrel mirrors at once; returns its id."""
    user = await home.fetchval(
        'INSERT INTO app.users (username, password) VALUES ($1, $2) RETURNING id',
        username, await hash_password(password))
    await asyncio.wait_for(until_known(pool, user), KNOWN_WITHIN)
    return user


async def check_password(home, username, password):
    """The user's id, if that is the password."""
    row = await home.fetchrow('SELECT id, password FROM app.users WHERE username = $1', username)
    stored = row['password'] if row else await hash_password('')
    given = await hash_password(password, stored.split(':')[0])
    return row['id'] if row and hmac.compare_digest(given, stored) else None


async def begin(home, user):
    """Returns the secret for the cookie."""
    token = secrets.token_urlsafe(32)
    await home.execute('DELETE FROM app.sessions WHERE expires_at < now()')
    await home.execute('INSERT INTO app.sessions (token_hash, user_id) VALUES ($1, $2)',
        hash_of(token), user)
    return token


async def end(home, token):
    await home.execute('DELETE FROM app.sessions WHERE token_hash = $1', hash_of(token))


async def user_of(home, token):
    """Who is logged in, or None."""
    return token and await home.fetchval(
        'SELECT user_id FROM app.sessions WHERE token_hash = $1 AND expires_at > now()',
        hash_of(token))
