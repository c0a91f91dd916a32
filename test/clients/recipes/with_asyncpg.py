"""asyncpg."""
import asyncio
import json

import asyncpg

from recipe import (ANN, BOB, ERRORS, EVENTS_FROM, OURS, check, check_after_errors, check_club,
    check_error)

CLASSES = {
    '28000': asyncpg.InvalidAuthorizationSpecificationError, 'P0002': asyncpg.NoDataFoundError,
    '42501': asyncpg.InsufficientPrivilegeError, '22023': asyncpg.InvalidParameterValueError,
    '22001': asyncpg.StringDataRightTruncationError, '23505': asyncpg.UniqueViolationError,
    '55000': asyncpg.ObjectNotInPrerequisiteStateError,
    '53400': asyncpg.ConfigurationLimitExceededError,
    '54000': asyncpg.ProgramLimitExceededError, '25006': asyncpg.ReadOnlySQLTransactionError}


async def error_of(awaitable):
    try:
        await awaitable
    except Exception as error:
        return error
    return None


async def act(conn, user, query, *arguments, readonly=False):
    """The first row of a query, in a transaction in which a user acts."""
    async with conn.transaction(readonly=readonly):
        await conn.execute("SELECT set_config('chatrel.user_id', $1, true)", str(user or ''))
        return await conn.fetchrow(query, *arguments)


async def call(conn, user, function, *arguments, **named):
    """The first column of what a function returns, called as a user."""
    places = [f'${n}' for n in range(1, len(arguments) + 1)]
    places += [f'{name} => ${n}' for n, name in enumerate(named, len(arguments) + 1)]
    return (await act(conn, user, f"SELECT * FROM chatrel.{function}({', '.join(places)})",
        *arguments, *named.values()))[0]


async def main():
    conn = await asyncpg.connect()
    message = await call(conn, ANN, 'send_group_message', OURS, 'Hello @bob',
        metadata='{"kind": "greeting"}', mentions=[BOB])
    document = await call(conn, BOB, 'get_message', OURS, message)
    check('a message is sent, and a document of jsonb is a str', type(document), str)
    error = await error_of(call(conn, BOB, 'get_message', str(OURS), message))
    check('an id must be an int', type(error), asyncpg.DataError)

    await conn.set_type_codec('jsonb', schema='pg_catalog', encoder=json.dumps, decoder=json.loads)
    document = await call(conn, BOB, 'get_message', OURS, message)
    check('with a codec it is a dict', (document['sender_id'], document['metadata']),
        (ANN, {'kind': 'greeting'}))
    one_column = 'chatrel.send_group_message($1, $2, as_user => $3)'
    error = await error_of(conn.fetchval(f'SELECT {one_column}', OURS, 'Hello', ANN))
    check('but a row with a jsonb in it is not decoded', type(error),
        asyncpg.UnsupportedClientFeatureError)
    row = await conn.fetchrow(f'SELECT * FROM {one_column}', OURS, 'Hello', ANN)
    check('its columns are', row['message'], 'Hello')
    check('after a transaction nobody acts',
        await conn.fetchval('SELECT chatrel.current_user_id()'), None)
    loop = asyncio.get_running_loop()

    def wait_for_call(*arguments, **named):
        return asyncio.run_coroutine_threadsafe(call(conn, *arguments, **named), loop).result()

    await asyncio.to_thread(check_club, wait_for_call)

    # A pool resets the connections that come back to it.
    async with asyncpg.create_pool(min_size=1, max_size=1) as pool:
        async with pool.acquire() as pooled:
            await pooled.execute(f'SET chatrel.user_id = {BOB}')
        async with pool.acquire() as pooled:
            acting = await pooled.fetchval('SELECT chatrel.current_user_id()')
        check('a SET does not survive in the pool', acting, None)

    # Errors
    for case in ERRORS:
        error = await error_of(act(conn, case['user'], f"SELECT * FROM {case['call']}",
            readonly=case.get('read_only', False)))
        check_error(case, error, CLASSES, error.sqlstate, error.table_name, error.column_name,
            error.constraint_name)
    await asyncio.to_thread(check_after_errors, wait_for_call)

    # Events.  The trap: the server has been told to LISTEN, and asyncpg drops what comes on a
    # channel for which it has no listener.
    async def send(text):
        await call(conn, ANN, 'send_group_message', OURS, text)

    listener = await asyncpg.connect(EVENTS_FROM)
    heard = asyncio.Queue()
    channels = [channel for _, channel in
        await listener.fetch('SELECT * FROM chatrel.listen(as_user => $1)', BOB)]
    await send('nobody takes it')
    await listener.execute('SELECT 1')
    for channel in channels:
        await listener.add_listener(channel, lambda *about: heard.put_nowait(json.loads(about[3])))
    await send('heard')
    event = await asyncio.wait_for(heard.get(), 60)
    check('caveat: what came before add_listener is lost, what comes after it is heard',
        event['group_message']['message'], 'heard')
    await listener.close()
    await conn.close()


asyncio.run(main())
