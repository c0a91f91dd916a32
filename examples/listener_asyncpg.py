#!/usr/bin/env python3
"""Prints what happens in a chatrel user's groups as it comes, each event once, as a line of JSON.

    pip install asyncpg                      (or Debian's python3-asyncpg)
    PGDATABASE=app ./listener_asyncpg.py 7

The argument says which user to be, or else it is the role's; PGHOST, PGUSER ... how to connect.

sync() gives every event once, in an order in which none comes before what it is about, also those
of the time when nobody was connected; all it needs is the cursor of its last answer.  NOTIFY brings
the same objects: here it says when to sync, and brings what is not kept.  Who is connected LISTENs,
then syncs, and again when something is heard.

A connection may be gone without a word, where a cable, a router or a proxy has lost it.  So sync is
called now and then although nothing is heard, and if no answer comes in time, it connects again.

The cursor is kept in memory here: a program that goes on where it was ended keeps it with what it
does with the events, in one transaction.
"""
import asyncio
import contextlib
import json
import os
import random
import sys
import time

import asyncpg

SYNC_EVERY = int(os.environ.get('SYNC_EVERY_MS', 30000)) / 1000  # seconds, if nothing is heard
ANSWER_WITHIN = int(os.environ.get('ANSWER_WITHIN_MS', 10000)) / 1000
RETRY_FIRST = 0.5  # after a failure; then twice as long, and so on
RETRY_LONGEST = 30
# asyncpg does not ask for keepalives of the client's; these are the server's, which do as well.
KEEPALIVE = {'tcp_keepalives_idle': '20', 'tcp_keepalives_interval': '5',
    'tcp_keepalives_count': '3'}

user = int(sys.argv[1]) if len(sys.argv) > 1 else None
cursor = None  # all events there are
delay = RETRY_FIRST


def handle(event):
    """Every event comes here, heard or caught up with: an object of one key, its kind."""
    print(json.dumps(event), flush=True)


class Connection:
    """One connection, until it is lost, or something fails."""

    def __init__(self, conn):
        self.conn = conn
        self.heard = asyncio.Queue()  # and not taken yet; None when the connection is lost
        conn.add_termination_listener(lambda _: self.heard.put_nowait(None))

    async def listen(self, channel):
        """asyncpg drops what comes on a channel for which it has no listener, although the server
        has been told to LISTEN."""
        await self.conn.add_listener(channel,
            lambda _conn, _pid, _channel, payload: self.heard.put_nowait(payload))

    async def catch_up(self):
        """Handles what is new, page by page."""
        global cursor, delay
        more = True
        while more:
            answer = json.loads(await self.conn.fetchval(
                'SELECT chatrel.sync($1, as_user => $2)', cursor, user))
            for event in answer['events']:
                handle(event)
            cursor, more = answer['cursor'], answer['more']
        delay = RETRY_FIRST

    async def hear(self, event):
        """What is kept has an id and a datetime, and is left to sync.  What is only heard has not:
        read, changes of whiteboards, what an application publishes."""
        if 'relisten' in event:
            # The group has another channel now, or it is new to the user, or the user has left it.
            with contextlib.suppress(asyncpg.NoDataFoundError):
                await self.listen(await self.conn.fetchval(
                    'SELECT chatrel.listen_group($1, as_user => $2)',
                    int(event['relisten']['group_id']), user))
        elif 'datetime' not in next(iter(event.values())):
            await self.catch_up()  # which goes first
            handle(event)

    async def take_in(self):
        """What is heard next; nothing, if nothing is for a while."""
        try:
            payloads = [await asyncio.wait_for(self.heard.get(), SYNC_EVERY)]
        except asyncio.TimeoutError:
            return []
        while not self.heard.empty():
            payloads.append(self.heard.get_nowait())
        return payloads

    async def go_on(self):
        for _, channel in await self.conn.fetch('SELECT * FROM chatrel.listen(as_user => $1)',
                user):
            await self.listen(channel)
        while True:
            await self.catch_up()
            for payload in await self.take_in():
                if payload is None:
                    raise ConnectionError('the connection was lost')
                await self.hear(json.loads(payload))


async def connect_and_go_on():
    conn = await asyncpg.connect(timeout=ANSWER_WITHIN, command_timeout=ANSWER_WITHIN,
        server_settings=KEEPALIVE)
    try:
        await Connection(conn).go_on()
    finally:
        conn.terminate()  # close() would wait for an answer


while True:
    try:
        asyncio.run(connect_and_go_on())
    except (OSError, asyncio.TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError,
            asyncpg.InternalClientError) as error:  # the last where the server goes meanwhile
        print(repr(error), file=sys.stderr)
        if getattr(error, 'sqlstate', None) == '55000':
            # Something was lost, or purged: who shows messages loads them again; here, all come.
            cursor = None
    pause = delay * random.uniform(0.5, 1)  # not all clients at once
    print(f'trying again in {pause * 1000:.0f} ms', file=sys.stderr, flush=True)
    time.sleep(pause)
    delay = min(2 * delay, RETRY_LONGEST)
