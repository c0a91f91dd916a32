"""Group chat for an application in FastAPI: every endpoint is one call of chatrel.

    PGDATABASE=app PGUSER=service uvicorn service:app --port 8000

Who calls is whoever is logged in, and never an argument of the request.  README.md has the rest.
"""
import asyncio
import contextlib
import datetime as dt
import functools
import os
from typing import Optional
from urllib.parse import urlsplit

import asyncpg
from fastapi import Cookie, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from pydantic import BaseModel, Field

import databases
import errors
import sessions
from feed import Feed
from hub import Hub

# Is whoever has this WebSocket still logged in?
CHECK_EVERY = int(os.environ.get('CHECK_EVERY_MS', 30000)) / 1000  # seconds
LOGGED_OUT, COME_AGAIN = (4401, 'logged out'), (1013, 'come again')

app = FastAPI(title='Group chat')
hub = Hub()
pool: asyncpg.Pool  # where chatrel's functions are called
home: asyncpg.Pool  # where the tables of users and sessions are: the same, if there is one database


@contextlib.asynccontextmanager
async def lifespan(_app):
    """Nobody is let in before nothing can be missed."""
    global pool, home
    feeds = [Feed(database, functools.partial(hub.begin, database),
        functools.partial(hub.hand_on, database)) for database in databases.listened_to()]
    async with databases.pools(min_size=0, max_size=10, timeout=5, command_timeout=15,
            server_settings={'application_name': 'chatrel service'}) as (pool, home):
        tasks = [asyncio.create_task(feed.run()) for feed in feeds]
        for feed in feeds:
            await feed.ready.wait()
        yield
        for task in tasks:
            task.cancel()


app.router.lifespan_context = lifespan  # FastAPI(lifespan=...) of 0.93, and older ones too
for kind in errors.ERRORS:
    app.add_exception_handler(kind, errors.answer)


async def current_user(session: Optional[str] = Cookie(None)):
    user = await sessions.user_of(home, session)
    if user is None:
        raise HTTPException(401, 'log in first')
    return user


async def call(sql, *arguments):
    """A statement whose only value is JSON, which goes to the client as it is."""
    return Response(await pool.fetchval(sql, *arguments), media_type='application/json')


# ---------------------------------------------------------------- requests

class Credentials(BaseModel):
    username: str = Field(max_length=256)
    password: str = Field(min_length=1, max_length=1000)


class CreateGroup(BaseModel):
    group_name: str
    join_this_group: bool = False


class JoinGroup(BaseModel):
    group_id: int


class SendGroupMessage(BaseModel):
    group_id: int
    message: str
    datetime: Optional[dt.datetime] = None
    client_key: Optional[str] = None  # a request that is tried again with it sends nothing twice


# ---------------------------------------------------------------- users

async def log_in(user, request):
    response = await call('SELECT chatrel.me(as_user => $1)', user)
    response.set_cookie(sessions.COOKIE, await sessions.begin(home, user), max_age=30 * 86400,
        httponly=True, samesite='strict', secure=request.url.scheme == 'https')
    return response


@app.post('/sign_up')
async def sign_up(new: Credentials, request: Request):
    return await log_in(await sessions.sign_up(pool, home, new.username, new.password), request)


@app.post('/login')
async def login(who: Credentials, request: Request):
    """The LoginUser: friends, and groups with their members."""
    user = await sessions.check_password(home, who.username, who.password)
    if user is None:
        raise HTTPException(401, 'username or password is wrong')
    return await log_in(user, request)


@app.post('/logout')
async def logout(session: Optional[str] = Cookie(None)):
    await sessions.end(home, session or '')
    response = Response(status_code=204)
    response.delete_cookie(sessions.COOKIE)
    return response


# ---------------------------------------------------------------- groups and messages

@app.post('/create_group')
async def create_group(new: CreateGroup, user: int = Depends(current_user)):
    return await call("""
        SELECT CASE WHEN $2 THEN chatrel.get_group(id, as_user => $3)
               ELSE jsonb_build_object('id', id, 'name', name, 'members', jsonb_build_array()) END
        FROM chatrel.create_group($1, $2, as_user => $3)""",
        new.group_name, new.join_this_group, user)


@app.post('/join_group')
async def join_group(which: JoinGroup, user: int = Depends(current_user)):
    return await call("""
        SELECT chatrel.get_group($1, as_user => $2) FROM chatrel.join_group($1, as_user => $2)""",
        which.group_id, user)


@app.post('/send_group_message')
async def send_group_message(new: SendGroupMessage, user: int = Depends(current_user)):
    await pool.execute("""
        SELECT chatrel.send_group_message($1, $2, $3, client_key => $4, as_user => $5)""",
        new.group_id, new.message, new.datetime, new.client_key, user)
    return 'Succeed'


@app.get('/group_with_chat_history')
async def group_with_chat_history(group_id: int, before_id: Optional[int] = None,
        user: int = Depends(current_user)):
    return await call(
        'SELECT chatrel.get_group_with_chat_history($1, before_id => $2, as_user => $3)',
        group_id, before_id, user)


@app.get('/sync')
async def sync(cursor: Optional[str] = None, user: int = Depends(current_user)):
    """What has happened since, and the cursor for the next time."""
    return await call('SELECT chatrel.sync($1, event_limit => 1000, as_user => $2)', cursor, user)


# ---------------------------------------------------------------- the WebSocket

async def send_to(websocket, client):
    while True:
        await websocket.send_text(await client.texts.get())


async def until_gone(websocket):
    while (await websocket.receive())['type'] != 'websocket.disconnect':
        pass  # clients have nothing to say


async def until_logged_out(session):
    while True:
        await asyncio.sleep(CHECK_EVERY)
        with contextlib.suppress(*errors.ERRORS):  # the database is away: asked again
            if await sessions.user_of(home, session) is None:
                return


def is_from_elsewhere(websocket):
    """A page of another site, whose WebSocket a browser gives the cookie too."""
    origin = websocket.headers.get('origin')
    return origin is not None and urlsplit(origin).netloc != websocket.headers.get('host')


@app.websocket('/ws')
async def listen(websocket: WebSocket, session: Optional[str] = Cookie(None)):
    """Sends every event of the user's groups, and for the user, from now on."""
    try:
        user = None if is_from_elsewhere(websocket) else await sessions.user_of(home, session)
    except errors.ERRORS:
        await websocket.accept()
        return await websocket.close(*COME_AGAIN)
    if user is None:
        return await websocket.close()  # it was not accepted: 403
    await websocket.accept()
    client = hub.enter(user)
    try:
        await serve(websocket, client, session)
    finally:
        hub.leave(user, client)


async def serve(websocket, client, session):
    """Until the client goes, or has to go."""
    sent, gone, logged_out, closed = tasks = [asyncio.create_task(task) for task in (
        send_to(websocket, client), until_gone(websocket), until_logged_out(session),
        client.closed.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not sent.done() and not gone.done():
            await websocket.close(*(LOGGED_OUT if logged_out.done() else COME_AGAIN))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
