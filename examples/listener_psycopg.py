#!/usr/bin/env python3
"""Prints what happens in a chatrel user's groups as it comes, each event once, as a line of JSON.

    pip install 'psycopg[binary]'            (or Debian's python3-psycopg: version 3.1 or newer)
    PGDATABASE=app ./listener_psycopg.py 7

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
import contextlib
import json
import os
import random
import select
import socket
import sys
import threading
import time
from collections import deque

import psycopg

SYNC_AFTER = 1000  # events that were heard: then let the cursor follow
REMEMBER = 10 * SYNC_AFTER  # events that were handled: more than can come twice
SYNC_EVERY = int(os.environ.get('SYNC_EVERY_MS', 30000)) / 1000  # seconds, if nothing is heard
ANSWER_WITHIN = int(os.environ.get('ANSWER_WITHIN_MS', 10000)) / 1000
RETRY_FIRST = 0.5  # after a failure; then twice as long, and so on
RETRY_LONGEST = 30

user = sys.argv[1] if len(sys.argv) > 1 else None
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

    def __init__(self):
        self.heard = deque()  # and not taken yet
        self.since_sync = 0
        self.conn = psycopg.connect(autocommit=True, client_encoding='utf8', connect_timeout=10,
            keepalives_idle=20, keepalives_interval=5, keepalives_count=3, tcp_user_timeout=20000)
        # What comes while a query runs is given to this alone: conn.notifies() would not have it.
        self.conn.add_notify_handler(lambda notify: self.heard.append(notify.payload))
        self.close = self.conn.close

    def ask(self, query, *arguments):
        """The first column of the first row.  psycopg waits for an answer for ever: in time, the
        socket is closed under it."""
        connected = socket.socket(fileno=os.dup(self.conn.fileno()))
        timer = threading.Timer(ANSWER_WITHIN, connected.shutdown, [socket.SHUT_RDWR])
        timer.start()
        try:
            return self.conn.execute(query, arguments).fetchone()[0]
        finally:
            timer.cancel()
            connected.close()

    def sync(self):
        global cursor
        more = True
        while more:
            answer = self.ask('SELECT chatrel.sync(%s, as_user => %s)', cursor, user)
            for event in answer['events']:
                handle(event)
            cursor, more = answer['cursor'], answer['more']
        self.since_sync = 0

    def hear(self, event):
        self.since_sync += 1
        if 'relisten' in event:
            # The group has another channel now, or it is new to the user, or the user has left it.
            try:
                self.ask('SELECT chatrel.listen_group(%s, as_user => %s)',
                    event['relisten']['group_id'], user)
            except psycopg.errors.NoDataFound:
                pass
            self.sync()
        elif is_kept(event) and 'truncated' in next(iter(event.values())):
            self.sync()  # which has the whole of it
        else:
            handle(event)
            if self.since_sync >= SYNC_AFTER:
                self.sync()

    def take_in(self):
        self.conn.pgconn.consume_input()
        while notify := self.conn.pgconn.notifies():
            self.heard.append(notify.extra.decode())

    def go_on(self):
        while True:
            self.take_in()
            if self.heard:
                self.hear(json.loads(self.heard.popleft()))
            elif not select.select([self.conn], [], [], SYNC_EVERY)[0]:
                self.sync()


delay = RETRY_FIRST
while True:
    try:
        with contextlib.closing(Connection()) as connection:
            connection.sync()
            connection.ask('SELECT count(*) FROM chatrel.listen(as_user => %s)', user)
            connection.sync()
            delay = RETRY_FIRST
            connection.go_on()
    except psycopg.Error as error:
        print(error, file=sys.stderr)
        if error.sqlstate == '55000':
            # The server has lost something, or purged what was not seen.  Who shows messages loads
            # them again now; this program prints them all again.
            cursor = None
            handled.clear()
    pause = delay * random.uniform(0.5, 1)  # not all clients at once
    print(f'trying again in {pause * 1000:.0f} ms', file=sys.stderr, flush=True)
    time.sleep(pause)
    delay = min(2 * delay, RETRY_LONGEST)
