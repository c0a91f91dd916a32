"""Users, passwords and who is logged in: the application's own tables.

Of a password there is a hash with a salt of its own; of the secret in a cookie there is a hash, so
that who reads the table cannot log in.
"""
import asyncio
import hashlib
import hmac
import secrets

COOKIE = 'session'
COST = {'n': 2**14, 'r': 8, 'p': 1}


def hash_of(token):
    return hashlib.sha256(token.encode()).digest()


async def hash_password(password, salt=None):
    salt = salt or secrets.token_hex(16)
    # It takes a while on purpose: not in the thread that serves everybody.
    key = await asyncio.to_thread(hashlib.scrypt, password.encode(), salt=salt.encode(), **COST)
    return f'{salt}:{key.hex()}'


async def sign_up(pool, username, password):
    """Makes a user, whom chatrel mirrors at once; returns its id."""
    return await pool.fetchval(
        'INSERT INTO app.users (username, password) VALUES ($1, $2) RETURNING id',
        username, await hash_password(password))


async def check_password(pool, username, password):
    """The user's id, if that is the password."""
    row = await pool.fetchrow('SELECT id, password FROM app.users WHERE username = $1', username)
    stored = row['password'] if row else await hash_password('')
    given = await hash_password(password, stored.split(':')[0])
    return row['id'] if row and hmac.compare_digest(given, stored) else None


async def begin(pool, user):
    """Returns the secret for the cookie."""
    token = secrets.token_urlsafe(32)
    await pool.execute('DELETE FROM app.sessions WHERE expires_at < now()')
    await pool.execute('INSERT INTO app.sessions (token_hash, user_id) VALUES ($1, $2)',
        hash_of(token), user)
    return token


async def end(pool, token):
    await pool.execute('DELETE FROM app.sessions WHERE token_hash = $1', hash_of(token))


async def user_of(pool, token):
    """Who is logged in, or None."""
    return token and await pool.fetchval(
        'SELECT user_id FROM app.sessions WHERE token_hash = $1 AND expires_at > now()',
        hash_of(token))
