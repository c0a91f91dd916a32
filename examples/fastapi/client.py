#!/usr/bin/env python3
"""Prints what happens in a user's groups as it comes, each event once, as a line of JSON.

    ./client.py http://127.0.0.1:8000 ann secret

It shows what a client of the service does so that it misses nothing: it opens the WebSocket, asks
/sync for what came before, then hears; and skips what it has.  After every interruption it does the
same again, with the cursor of the last /sync.
"""
import asyncio
import http.client
import json
import random
import sys
import urllib.error
import urllib.request
from urllib.parse import quote

import websockets

SYNC_AFTER = 500  # events that were heard: then let the cursor follow
SYNC_EVERY = 30  # seconds, if nothing is heard
REMEMBER = 20000  # events that were handled: more than can come twice
RETRY_FIRST = 0.2  # seconds; then twice as long, and so on
RETRY_LONGEST = 10
LOST = (OSError, asyncio.TimeoutError, http.client.HTTPException, ValueError,  # half an answer
    websockets.WebSocketException)
# The name of an argument, which version 14 has changed
HEADERS = ('extra_headers' if int(websockets.__version__.split('.')[0]) < 14
    else 'additional_headers')


def is_final(error):
    """Nobody is logged in any more: 401 of /sync, 403 of a WebSocket that is not accepted, or 4401
    of one that is closed."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code == 401
    if isinstance(error, websockets.ConnectionClosed):
        return error.rcvd is not None and error.rcvd.code == 4401
    response = getattr(error, 'response', error)  # from version 14 on
    return getattr(response, 'status_code', 0) == 403


class Client:
    def __init__(self, url, handle):
        self.url, self.handle = url, handle
        self.cookie = ''
        self.cursor = None  # everything from the beginning
        self.handled = {}  # ids, the oldest first
        self.heard_since_sync = 0
        self.delay = RETRY_FIRST

    def ask(self, path, body=None):
        request = urllib.request.Request(self.url + path, body and json.dumps(body).encode(),
            {'Content-Type': 'application/json', 'Cookie': self.cookie})
        with urllib.request.urlopen(request, timeout=15) as response:
            if response.headers['Set-Cookie']:
                self.cookie = response.headers['Set-Cookie'].split(';')[0]
            return json.load(response)

    async def call(self, path, body=None):
        """The answer; an HTTPError says what the service would not do."""
        return await asyncio.to_thread(self.ask, path, body)

    async def call_until_answered(self, path, body=None):
        """For requests that may be tried again, as one with a client_key may."""
        delay = RETRY_FIRST
        while True:
            try:
                return await self.call(path, body)
            except LOST as error:  # an HTTPError is an OSError
                if getattr(error, 'code', 503) != 503:
                    raise
            await asyncio.sleep(delay * random.uniform(0.5, 1))
            delay = min(2 * delay, RETRY_LONGEST)

    def handle_once(self, event):
        [body] = event.values()
        if 'datetime' in body:  # it is kept, and so has an id of its own
            if body['id'] in self.handled:
                return
            self.handled[body['id']] = True
            if len(self.handled) > REMEMBER:
                del self.handled[next(iter(self.handled))]
        self.handle(event)

    async def catch_up(self):
        more = True
        while more:
            try:
                answer = await self.call_until_answered(
                    '/sync' + (f'?cursor={quote(self.cursor)}' if self.cursor else ''))
            except urllib.error.HTTPError as error:
                if error.code == 410:
                    # Something was lost, or purged: who shows messages loads them again; here,
                    # all come.
                    self.cursor = None
                raise
            for event in answer['events']:
                self.handle_once(event)
            self.cursor, more = answer['cursor'], answer['more']
        self.heard_since_sync = 0

    def hear(self, text):
        self.heard_since_sync += 1
        self.handle_once(json.loads(text))

    async def go_on(self):
        async with websockets.connect(self.url.replace('http', 'ws', 1) + '/ws',
                **{HEADERS: {'Cookie': self.cookie}}) as websocket:
            await self.catch_up()
            self.delay = RETRY_FIRST
            while True:
                try:
                    self.hear(await asyncio.wait_for(websocket.recv(), SYNC_EVERY))
                except asyncio.TimeoutError:
                    await self.catch_up()
                if self.heard_since_sync >= SYNC_AFTER:
                    await self.catch_up()

    async def run(self):
        while True:
            try:
                await self.go_on()
            except LOST as error:
                if is_final(error):
                    raise
                print(repr(error), file=sys.stderr, flush=True)
            await asyncio.sleep(self.delay * random.uniform(0.5, 1))  # not all clients at once
            self.delay = min(2 * self.delay, RETRY_LONGEST)


async def main(url, username, password):
    client = Client(url, lambda event: print(json.dumps(event), flush=True))
    await client.call_until_answered('/login', {'username': username, 'password': password})
    await client.run()


if __name__ == '__main__':
    asyncio.run(main(*sys.argv[1:]))
