"""asyncpg."""
import asyncio
import json

import asyncpg

from recipe import check


async def error_of(awaitable):
    try:
        await awaitable
    except Exception as error:
        return error
    return None


async def main():
    conn = await asyncpg.connect()
    row = await conn.fetchrow('SELECT * FROM chatrel.send_group_message($1, $2, metadata => $3,'
        ' mentions => $4, as_user => $5)', 1, 'Hello @bob', '{"kind": "greeting"}', [2], 1)
    check('a message is sent, as whom as_user says', row['sender_id'], 1)
    document = await conn.fetchval('SELECT chatrel.get_message(1, $1, as_user => 2)', row['id'])
    check('a document of jsonb is a str', type(document), str)
    error = await error_of(conn.fetchval('SELECT chatrel.get_message($1, 1, as_user => 2)', '1'))
    check('an id must be an int', type(error), asyncpg.DataError)

    await conn.set_type_codec('jsonb', schema='pg_catalog', encoder=json.dumps, decoder=json.loads)
    document = await conn.fetchval('SELECT chatrel.get_message(1, $1, as_user => 2)', row['id'])
    check('with a codec it is a dict', document['metadata'], {'kind': 'greeting'})
    call = 'chatrel.send_group_message(1, $1, as_user => 1)'
    error = await error_of(conn.fetchval(f'SELECT {call}', 'Hello'))
    check('but a row with a jsonb in it is not decoded', type(error),
        asyncpg.UnsupportedClientFeatureError)
    row = await conn.fetchrow(f'SELECT * FROM {call}', 'Hello')
    check('its columns are', row['message'], 'Hello')

    async with conn.transaction():
        await conn.execute("SELECT set_config('chatrel.user_id', $1, true)", '2')  # a text
        acting = await conn.fetchval('SELECT chatrel.current_user_id()')
    check('in a transaction, the parameter says who acts', acting, 2)
    check('after it, nobody', await conn.fetchval('SELECT chatrel.current_user_id()'), None)

    # A pool resets the connections that come back to it.
    async with asyncpg.create_pool(min_size=1, max_size=1) as pool:
        async with pool.acquire() as pooled:
            await pooled.execute('SET chatrel.user_id = 2')
        async with pool.acquire() as pooled:
            acting = await pooled.fetchval('SELECT chatrel.current_user_id()')
        check('a SET does not survive in the pool', acting, None)

    # Errors
    error = await error_of(conn.execute("SELECT chatrel.send_group_message(2, 'x', as_user => 2)"))
    check('not a member', (type(error), error.sqlstate, error.table_name),
        (asyncpg.InsufficientPrivilegeError, '42501', 'groups_members'))
    error = await error_of(conn.execute('SELECT chatrel.get_group(9, as_user => 1)'))
    check('no such group', (type(error), error.table_name), (asyncpg.NoDataFoundError, 'groups'))
    error = await error_of(conn.execute('SELECT chatrel.me()'))
    check('nobody', type(error), asyncpg.InvalidAuthorizationSpecificationError)
    error = await error_of(conn.execute("SELECT chatrel.create_group('ours', true, as_user => 1)"))
    check('a name that is taken', (type(error), error.constraint_name),
        (asyncpg.UniqueViolationError, 'groups_name_key'))
    error = await error_of(conn.execute("SELECT chatrel.sync('abc', as_user => 1)"))
    check('no cursor', type(error), asyncpg.InvalidParameterValueError)

    # Events.  The trap: the server has been told to LISTEN, and asyncpg drops what comes on a
    # channel for which it has no listener.
    async def send(text):
        await conn.fetchval('SELECT id FROM chatrel.send_group_message(1, $1, as_user => 1)', text)

    listener = await asyncpg.connect()
    heard = asyncio.Queue()
    channels = [channel for _, channel in
        await listener.fetch('SELECT * FROM chatrel.listen(as_user => 2)')]
    await send('nobody takes it')
    await listener.execute('SELECT 1')
    for channel in channels:
        await listener.add_listener(channel, lambda *about: heard.put_nowait(json.loads(about[3])))
    await send('heard')
    event = await asyncio.wait_for(heard.get(), 60)
    check('what came before add_listener is lost, what comes after it is heard',
        event['group_message']['message'], 'heard')
    await listener.close()
    await conn.close()


asyncio.run(main())
