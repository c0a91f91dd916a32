#!/usr/bin/env python3
"""Prints what happens in a chatrel user's groups as it comes, each event once, as a line of JSON.

    pip install asyncpg                      (or Debian's python3-asyncpg)
    PGDATABASE=app ./listener_asyncpg.py 7

The argument says which user to be, or else it is the role's; PGHOST, PGUSER ... how to connect.

sync() gives every event once, also those of the time when nobody was connected: what it needs is
the cursor of its last answer.  Who listens hears the same objects at once, but only while
connected, so that does not move the cursor.  For every connection: sync, to catch up; LISTEN; sync
again, for what came between the two; then take what is heard.  It comes with the next sync too:
whichever is first counts, as the event's id tells.

A connection may be gone without a word, where a cable, a router or a proxy has lost it.  So sync is
called now and then although nothing is heard, and if no answer comes in time, it connects again.

The cursor is kept in memory here: a program that goes on where it was ended keeps it with what it
does with the events, in one transaction.
"""
import asyncio
import json
import os
import random
import sys
import time

import asyncpg

SYNC_AFTER = 1000  # events that were heard: then let the cursor follow
REMEMBER = 10 * SYNC_AFTER  # events that were handled: more than can come twice
SYNC_EVERY = int(os.environ.get('SYNC_EVERY_MS', 30000)) / 1000  # seconds, if nothing is heard
ANSWER_WITHIN = int(os.environ.get('ANSWER_WITHIN_MS', 10000)) / 1000
RETRY_FIRST = 0.5  # after a failure; then twice as long, and so on
RETRY_LONGEST = 30
# asyncpg does not ask for keepalives of the client's; these are the server's, which do as well.
KEEPALIVES = {'tcp_keepalives_idle': '20', 'tcp_keepalives_interval': '5',
    'tcp_keepalives_count': '3'}

user = int(sys.argv[1]) if len(sys.argv) > 1 else None
cursor = None  # all events there are
handled = {}  # the ids of the last ones, oldest first


def is_kept(event):
    """What is kept has an id, which no other event has, and a datetime.  What is only heard has
    not: read, changes of whiteboards, what an application publishes."""
    return 'datetime' in next(iter(event.values()))


def handle(event):
    """Every event comes here, heard or caught up with: an object of one key, its kind."""
    if is_kept(event):
        event_id = next(iter(event.values()))['id']
        if event_id in handled:
            return
        handled[event_id] = True
        if len(handled) > REMEMBER:
            del handled[next(iter(handled))]
    print(json.dumps(event), flush=True)


class Connection:
    """One connection, until it is lost, or something fails."""

    def __init__(self, conn):
        self.conn = conn
        self.heard = asyncio.Queue()  # and not taken yet; None when the connection is lost
        self.since_sync = 0
        conn.add_termination_listener(lambda _: self.heard.put_nowait(None))

    async def listen(self, channel):
        """asyncpg drops what comes on a channel for which it has no listener, although the server
        has been told to LISTEN."""
        await self.conn.add_listener(channel,
            lambda _conn, _pid, _channel, payload: self.heard.put_nowait(payload))

    async def sync(self):
        global cursor
        more = True
        while more:
            answer = json.loads(await self.conn.fetchval(
                'SELECT chatrel.sync($1, as_user => $2)', cursor, user))
            for event in answer['events']:
                handle(event)
            cursor, more = answer['cursor'], answer['more']
        self.since_sync = 0

    async def hear(self, event):
        self.since_sync += 1
        if 'relisten' in event:
            # The group has another channel now, or it is new to the user, or the user has left it.
            try:
                await self.listen(await self.conn.fetchval(
                    'SELECT chatrel.listen_group($1, as_user => $2)',
                    int(event['relisten']['group_id']), user))
            except asyncpg.NoDataFoundError:
                pass
            await self.sync()
        elif is_kept(event) and 'truncated' in next(iter(event.values())):
            await self.sync()  # which has the whole of it
        else:
            handle(event)
            if self.since_sync >= SYNC_AFTER:
                await self.sync()

    async def go_on(self):
        while True:
            try:
                payload = await asyncio.wait_for(self.heard.get(), SYNC_EVERY)
            except asyncio.TimeoutError:
                await self.sync()
                continue
            if payload is None:
                raise ConnectionError('the connection was lost')
            await self.hear(json.loads(payload))


async def connect_and_go_on():
    global delay
    conn = await asyncpg.connect(timeout=ANSWER_WITHIN, command_timeout=ANSWER_WITHIN,
        server_settings=KEEPALIVES)
    try:
        connection = Connection(conn)
        await connection.sync()
        for _, channel in await conn.fetch('SELECT * FROM chatrel.listen(as_user => $1)', user):
            await connection.listen(channel)
        await connection.sync()
        delay = RETRY_FIRST
        await connection.go_on()
    finally:
        conn.terminate()  # close() would wait for an answer


delay = RETRY_FIRST
while True:
    try:
        asyncio.run(connect_and_go_on())
    except (OSError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError,
            asyncpg.InternalClientError) as error:  # the last where the server goes meanwhile
        print(repr(error), file=sys.stderr)
        if getattr(error, 'sqlstate', None) == '55000':
            # Something was lost, or purged: who shows messages loads them again; here, all come.
            cursor = None
            handled.clear()
    pause = delay * random.uniform(0.5, 1)  # not all clients at once
    print(f'trying again in {pause * 1000:.0f} ms', file=sys.stderr, flush=True)
    time.sleep(pause)
    delay = min(2 * delay, RETRY_LONGEST)
