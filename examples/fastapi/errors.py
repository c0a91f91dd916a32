"""What an error of the database is in HTTP: one table, for all endpoints."""
import asyncio
import logging
import re

import asyncpg
from fastapi.responses import JSONResponse

# By SQLSTATE; with "+" where the error has a TABLE NAME, which tells what the user may not do from
# what the service may not, or is of a shard, as a proxy passes no TABLE NAME on; or by the class, the
# first two characters.
STATUS = {
    '22023': 400, '22P02': 400, '22003': 400, '22007': 400, '22008': 400, '23502': 400,
    '28000': 401,   # nobody to act as
    '42501+': 403,  # no member, banned, muted, a role that is too low, a block
    'P0002': 404,   # it does not exist, or must not be seen
    '23505': 409,   # the name is taken
    '55000+': 409,  # archived, the last owner, too late to edit
    '55000': 410,   # a cursor of another history: load the history anew
    '22001': 413,   # too long
    '22P05': 422, '22021': 422,  # a text that the database cannot have
    '22000': 422,   # what asyncpg itself refuses: half of a character, an id that is too large
    '53400': 429,   # slow mode
    '25006': 503, '40001': 503, '40P01': 503, '54000': 503,  # try again
    '08': 503, '53': 503, '57': 503,  # the database is away, or ends, or begins
}

# What asyncpg raises where the connection is lost, or cannot be had
LOST = (OSError, asyncio.TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
ERRORS = (asyncpg.PostgresError, *LOST)

# The functions of a proxy by which a call goes to a shard, but those of sync: the errors of its
# cursors are 55000 without "+"
OF_SHARD = re.compile(r'chatrel_proxy\.(?!\w*sync)')
# What a proxy says of a shard that is away, in its own name
OF_PROXY = re.compile('PL/Proxy function ')

log = logging.getLogger('uvicorn.error')


def is_lost(error):
    return isinstance(error, LOST) or error.sqlstate == 'XX000' and OF_PROXY.match(str(error))


def status_of(error):
    if is_lost(error):
        return 503
    code = error.sqlstate
    is_chatrels = error.table_name or OF_SHARD.match(error.context or '')
    with_table = code + '+' if is_chatrels else code
    return STATUS.get(with_table) or STATUS.get(code) or STATUS.get(code[:2]) or 500


async def answer(_request, error):
    """An exception handler for FastAPI."""
    status = status_of(error)
    if status >= 500:
        log.error('%r', error)
        words = {500: 'this failed, and the service has noted why', 503: 'try again'}
        retry = {'Retry-After': '1'} if status == 503 else None
        return JSONResponse({'detail': words[status]}, status, retry)
    body = {'detail': str(error)}
    for field in 'sqlstate', 'table_name', 'column_name', 'constraint_name':
        if getattr(error, field, None):
            body[field] = getattr(error, field)
    return JSONResponse(body, status)
