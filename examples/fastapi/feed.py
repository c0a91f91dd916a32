"""Everything that happens in a database, from one connection: what is heard, and after an
interruption what was missed, each event once and in order.

An interruption ends with listen_all, and then sync_all from the last cursor; what is heard
meanwhile waits.  Only what sync_all returns moves the cursor.
"""
import asyncio
import json
import logging
import random

import asyncpg

SYNC_AFTER = 1000  # events that were heard: then let the cursor follow
REMEMBER = 20 * SYNC_AFTER  # events that were passed on: more than can come twice
SYNC_EVERY = 30  # seconds, if nothing is heard: perhaps the connection is lost without a word
ANSWER_WITHIN = 10
RETRY_FIRST = 0.1  # after a failure; then twice as long, and so on
RETRY_LONGEST = 10

log = logging.getLogger('uvicorn.error')


class Feed:
    def __init__(self, database, begin, hand_on):
        """begin(members) says who is in which group, before the first event and whenever the
        cursor is of no use any more; hand_on(kind, event) is called with each event."""
        self.database, self.begin, self.hand_on = database, begin, hand_on
        self.ready = asyncio.Event()  # from then on nothing is missed
        self.cursor = None
        self.handed_on = {}  # ids, the oldest first
        self.delay = RETRY_FIRST
        self.heard = None
        self.heard_since_sync = 0

    def hand_on_once(self, event):
        [(kind, body)] = event.items()
        if 'datetime' in body:  # it is kept, and so has an id of its own
            if body['id'] in self.handed_on:
                return
            self.handed_on[body['id']] = True
            if len(self.handed_on) > REMEMBER:
                del self.handed_on[next(iter(self.handed_on))]
        self.hand_on(kind, body)

    async def sync_all(self, conn, cursor):
        return json.loads(
            await conn.fetchval('SELECT chatrel.sync_all($1, event_limit => 1000)', cursor))

    async def start(self, conn):
        cursor = (await self.sync_all(conn, 'now'))['cursor']
        self.begin(await conn.fetch('SELECT group_id, user_id FROM chatrel.group_members_of(NULL)'))
        self.cursor = cursor
        self.handed_on.clear()

    async def catch_up(self, conn):
        more = True
        while more:
            answer = await self.sync_all(conn, self.cursor)
            for event in answer['events']:
                self.hand_on_once(event)
            self.cursor, more = answer['cursor'], answer['more']
        self.heard_since_sync = 0

    async def heed(self, conn, payload):
        if payload is None:
            raise ConnectionError('the connection was closed')
        event = json.loads(payload)
        self.heard_since_sync += 1
        if 'truncated' in next(iter(event.values())):
            await self.catch_up(conn)  # which has all of it
        else:
            self.hand_on_once(event)
        if self.heard_since_sync >= SYNC_AFTER:
            await self.catch_up(conn)

    async def go_on(self, conn):
        self.heard = asyncio.Queue()
        conn.add_termination_listener(lambda _: self.heard.put_nowait(None))
        # asyncpg drops what comes on a channel for which it has no listener.
        await conn.add_listener(await conn.fetchval('SELECT chatrel.listen_all()'),
            lambda _conn, _pid, _channel, payload: self.heard.put_nowait(payload))
        if self.cursor is None:
            await self.start(conn)
        await self.catch_up(conn)
        self.delay = RETRY_FIRST
        self.ready.set()
        while True:
            try:
                payload = await asyncio.wait_for(self.heard.get(), SYNC_EVERY)
            except asyncio.TimeoutError:
                await self.catch_up(conn)
            else:
                await self.heed(conn, payload)

    async def connect_and_go_on(self):
        conn = await asyncpg.connect(self.database, timeout=ANSWER_WITHIN,
            command_timeout=ANSWER_WITHIN, server_settings={'application_name': 'chatrel feed'})
        try:
            await self.go_on(conn)
        finally:
            conn.terminate()  # close() would wait for an answer

    async def run(self):
        while True:
            try:
                await self.connect_and_go_on()
            except Exception as error:  # whatever it is: it goes on from the cursor
                log.warning('feed: %r', error)
                if getattr(error, 'sqlstate', None) == '55000':
                    self.cursor = None  # the database has another history now
            await asyncio.sleep(self.delay * random.uniform(0.5, 1))  # not all gateways at once
            self.delay = min(2 * self.delay, RETRY_LONGEST)
