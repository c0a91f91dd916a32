#!/usr/bin/env python3
"""Prints what happens in a chatrel user's groups as it comes, each event once, as a line of JSON.

    pip install 'psycopg[binary]'            (or Debian's python3-psycopg: version 3.1 or newer)
    PGDATABASE=app ./listener_psycopg.py 7

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

SYNC_EVERY = int(os.environ.get('SYNC_EVERY_MS', 30000)) / 1000  # seconds, if nothing is heard
ANSWER_WITHIN = int(os.environ.get('ANSWER_WITHIN_MS', 10000)) / 1000
RETRY_FIRST = 0.5  # after a failure; then twice as long, and so on
RETRY_LONGEST = 30
KEEPALIVE = {'keepalives_idle': 20, 'keepalives_interval': 5, 'keepalives_count': 3,
    'tcp_user_timeout': 20000}

user = sys.argv[1] if len(sys.argv) > 1 else None
cursor = None  # all events there are
delay = RETRY_FIRST


def handle(event):
    """Every event comes here, heard or caught up with: an object of one key, its kind."""
    print(json.dumps(event), flush=True)


class Connection:
    """One connection, until it is lost, or something fails."""

    def __init__(self):
        self.heard = deque()  # and not taken yet
        self.conn = psycopg.connect(autocommit=True, client_encoding='utf8', connect_timeout=10,
            **KEEPALIVE)
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

    def catch_up(self):
        """Handles what is new, page by page."""
        global cursor, delay
        more = True
        while more:
            answer = self.ask('SELECT chatrel.sync(%s, as_user => %s)', cursor, user)
            for event in answer['events']:
                handle(event)
            cursor, more = answer['cursor'], answer['more']
        delay = RETRY_FIRST

    def hear(self, event):
        """What is kept has an id and a datetime, and is left to sync.  What is only heard has not:
        read, changes of whiteboards, what an application publishes."""
        if 'relisten' in event:
            # The group has another channel now, or it is new to the user, or the user has left it.
            with contextlib.suppress(psycopg.errors.NoDataFound):
                self.ask('SELECT chatrel.listen_group(%s, as_user => %s)',
                    event['relisten']['group_id'], user)
        elif 'datetime' not in next(iter(event.values())):
            self.catch_up()  # which goes first
            handle(event)

    def take_in(self):
        self.conn.pgconn.consume_input()
        while notify := self.conn.pgconn.notifies():
            self.heard.append(notify.extra.decode())

    def go_on(self):
        self.ask('SELECT count(*) FROM chatrel.listen(as_user => %s)', user)
        while True:
            self.catch_up()
            self.take_in()
            if not self.heard:
                select.select([self.conn], [], [], SYNC_EVERY)
                self.take_in()
            while self.heard:
                self.hear(json.loads(self.heard.popleft()))


while True:
    try:
        with contextlib.closing(Connection()) as connection:
            connection.go_on()
    except psycopg.Error as error:
        print(error, file=sys.stderr)
        if error.sqlstate == '55000':
            # The server has lost something, or purged what was not seen.  Who shows messages loads
            # them again now; this program prints them all again.
            cursor = None
    pause = delay * random.uniform(0.5, 1)  # not all clients at once
    print(f'trying again in {pause * 1000:.0f} ms', file=sys.stderr, flush=True)
    time.sleep(pause)
    delay = min(2 * delay, RETRY_LONGEST)
