#!/usr/bin/env python3
"""Plays with the service of examples/fastapi, which it starts, kills and starts again, as several
people with WebSockets.  test/t/063_fastapi.pl is its stage: it says where the database is, or the
databases, as the service wants it, in PORTS where the service is to be, in two processes, and in
RESTART how the servers are restarted.

Lines are those of TAP without numbers.
"""
import asyncio
import collections
import contextlib
import json
import os
import subprocess
import sys
import urllib.error
import uuid
from urllib.parse import quote

FOLDER = os.path.abspath(f'{os.path.dirname(__file__)}/../../../examples/fastapi')
sys.path.insert(0, FOLDER)

import asyncpg  # noqa: E402
import client  # noqa: E402
import databases  # noqa: E402

PORTS = os.environ['PORTS'].split()
PATIENCE = 120  # seconds; what takes longer has failed
client.SYNC_AFTER = 40  # so that cursors move while things break

processes = []


def ok(condition, name, *details):
    print(f'{"ok" if condition else "not ok"} - {name}', flush=True)
    if not condition:
        print(*(f'# {detail!r}' for detail in details), sep='\n', flush=True)


def same(got, wanted, name):
    ok(got == wanted, name, got, wanted)


async def until(condition, name):
    """Waits for a condition; nothing that follows makes sense without it."""
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            ok(False, name)
            sys.exit(1)
        await asyncio.sleep(0.02)


class Person(client.Client):
    """A client that keeps what it handles, and what each of its WebSockets brought."""

    def __init__(self, name, port=PORTS[0]):
        super().__init__(f'http://127.0.0.1:{port}', lambda event: self.events.append(event))
        self.name, self.events, self.brought = name, [], []
        self.is_new, self.task = True, None

    async def go_on(self):
        self.is_new = True
        await super().go_on()

    def hear(self, text):
        if self.is_new:
            self.brought.append([])
        self.is_new = False
        self.brought[-1].append(json.loads(text))
        super().hear(text)

    def begin(self):
        self.task = asyncio.create_task(self.run())

    async def status(self, path, body=None):
        """What the service says of a request that is wrong, with the words."""
        try:
            return 200, await self.call(path, body)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def messages(self):
        return [event['group_message'] for event in self.events if 'group_message' in event]

    def texts(self):
        return [message['message'] for message in self.messages()]

    async def says(self, group, text):
        body = {'group_id': group, 'message': text, 'client_key': str(uuid.uuid4())}
        return await self.call_until_answered('/send_group_message', body)


def start_service():
    for port in PORTS:
        processes.append(subprocess.Popen([sys.executable, '-m', 'uvicorn', 'service:app',
            '--port', port, '--log-level', 'warning'],
            cwd=FOLDER, env={**os.environ, 'CHECK_EVERY_MS': '200'}))


def kill_service():
    while processes:
        processes[-1].kill()
        processes.pop().wait()


async def kill_and_start_service():
    kill_service()
    start_service()


async def restart_database():
    await asyncio.to_thread(subprocess.run, os.environ['RESTART'], shell=True, check=True,
        stdout=subprocess.DEVNULL)


async def cut_the_feed():
    """The connections that hear everything, while the others go on."""
    for database in databases.listened_to():
        conn = await asyncpg.connect(database)
        await conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'chatrel feed'")
        await conn.close()


# ---------------------------------------------------------------- the article

async def people():
    ann, ben, cleo = Person('ann'), Person('ben', PORTS[1]), Person('cleo')
    for person in ann, ben, cleo:
        answer = await person.call_until_answered('/sign_up',
            {'username': person.name, 'password': 'secret'})
        person.id = answer['id']
        same(answer, {'id': person.id, 'username': person.name, 'friends': [], 'groups': []},
            f'{person.name} signs up, and is answered as a LoginUser')
    stranger = Person('ann')
    code, words = await stranger.status('/sign_up', {'username': 'ann', 'password': 'mine'})
    same(code, 409, 'a username that is taken: 409')
    same((await stranger.status('/login', {'username': 'ann', 'password': 'mine'}))[0], 401,
        'a wrong password: 401')
    same((await stranger.status('/login', {'username': 'nobody', 'password': 'mine'}))[0], 401,
        'a username that there is not: 401')
    same((await stranger.status('/sync'))[0], 401, 'without a log-in: 401')
    return ann, ben, cleo


async def groups(ann, ben):
    a, b = {'id': ann.id, 'username': 'ann'}, {'id': ben.id, 'username': 'ben'}
    walks = await ann.call('/create_group', {'group_name': 'walks', 'join_this_group': True})
    group = walks['id']
    same(walks, {'id': group, 'name': 'walks', 'members': [a]}, 'a group whose creator joins it')
    books = await ann.call('/create_group', {'group_name': 'books'})
    same(books, {'id': books['id'], 'name': 'books', 'members': []}, '... and one who does not')
    same(await ben.call('/join_group', {'group_id': group}),
        {'id': group, 'name': 'walks', 'members': [a, b]}, 'ben joins, and is told the Group')
    return group


async def two_hear_each_other(ann, ben, cleo, group):
    for person in ann, ben, cleo:
        person.begin()
    await until(lambda: all(person.cursor for person in (ann, ben, cleo)), 'they are connected')
    same(await ann.call('/send_group_message', {'datetime': '2026-05-02T09:00:00+02:00',
        'group_id': group, 'message': 'Is anybody up?'}), 'Succeed', 'ann says something')
    await ben.says(group, 'I am.')
    for person in ann, ben:
        await until(lambda: len(person.texts()) >= 2, f'{person.name} hears both')
        same(person.texts(), ['Is anybody up?', 'I am.'], f'{person.name} hears both')
    [first] = [event for event in ben.brought[-1] if 'group_message' in event][:1]
    message = {'id': first['group_message']['id'], 'datetime': '2026-05-02T07:00:00+00:00',
        'group_id': group, 'sender_id': ann.id, 'message': 'Is anybody up?'}
    same(first, {'group_message': message}, 'what the WebSocket brings is as in the article')
    history = await ben.call(f'/group_with_chat_history?group_id={group}')
    same((history['name'], [member['username'] for member in history['members']]),
        ('walks', ['ann', 'ben']), 'the history is that of the group')
    same(history['messages'][0], message, '... and has what was said')
    same([group['name'] for group in (await ann.call('/login',
        {'username': 'ann', 'password': 'secret'}))['groups']], ['walks'],
        'the log-in tells the groups')


async def wrong_requests(ann, cleo, group):
    say = {'group_id': group, 'message': 'Me too.'}
    missing = 2**40
    table = (
        ('who is no member says something', cleo, '/send_group_message', say, 403),
        ('... or reads', cleo, f'/group_with_chat_history?group_id={group}', None, 404),
        ('... a group that there is not', cleo, f'/group_with_chat_history?group_id={missing}',
            None, 404),
        ('saying something there', ann, '/send_group_message', {**say, 'group_id': missing}, 404),
        ('joining it', ann, '/join_group', {'group_id': missing}, 404),
        ('a name that is taken', ann, '/create_group', {'group_name': 'walks'}, 409),
        ('a message that says nothing', ann, '/send_group_message', {**say, 'message': ''}, 400),
        ('one of 513 characters', ann, '/send_group_message', {**say, 'message': 'x' * 513}, 413),
        ('one that is no text', ann, '/send_group_message', {**say, 'message': 'a\0b'}, 422),
        ('half of a character', ann, '/send_group_message', {**say, 'message': '\ud83d'}, 422),
        ('an id that is no bigint', ann, '/join_group', {'group_id': 2**64}, 422),
        ('a cursor that is none', ann, '/sync?cursor=mine', None, 400),
        ("another's cursor", ann, f'/sync?cursor={quote(cleo.cursor)}', None, 400),
    )
    for name, person, path, body, wanted in table:
        code, words = await person.status(path, body)
        ok(code == wanted and words.get('detail'), f'{name}: {wanted}', code, words)
    same([cleo.events, cleo.texts()], [[], []], 'cleo, who is in no group, has heard nothing')


async def strangers_are_not_let_in(ann):
    async def refused(headers):
        try:
            async with client.websockets.connect(f'ws://127.0.0.1:{PORTS[0]}/ws',
                    **{client.HEADERS: headers}):
                return False
        except client.websockets.WebSocketException as error:
            return client.is_final(error)
    ok(await refused({}), 'a WebSocket without a session: 403')
    ok(await refused({'Cookie': 'session=invented'}), '... with one that there is not: 403')
    headers = {'Cookie': ann.cookie, 'Origin': 'https://elsewhere.example'}
    ok(await refused(headers), '... of a page from elsewhere: 403')


async def a_late_member(ann, cleo, group):
    await cleo.call('/join_group', {'group_id': group})
    await ann.says(group, 'Welcome.')
    await until(lambda: 'Welcome.' in cleo.texts(), 'who joins hears what is said from then on')
    same(cleo.texts(), ['Welcome.'], 'who joins hears what is said from then on')


async def logging_out():
    another = Person('cleo')
    await another.call('/login', {'username': 'cleo', 'password': 'secret'})
    another.begin()
    await until(lambda: another.cursor, 'a second session')
    with contextlib.suppress(ValueError):  # the answer is empty
        await another.call('/logout', {})
    await until(another.task.done, 'who logs out is disconnected')
    ok(client.is_final(another.task.exception()), 'who logs out is disconnected')


# ---------------------------------------------------------------- what breaks

async def writes(person, group, texts):
    for text in texts:
        same_answer = await person.says(group, text)
        if same_answer != 'Succeed':
            ok(False, 'a send is answered', same_answer)


async def breaks(ann, ben):
    """Each waits until both have heard something new, so that writing goes on between."""
    async def something_new():
        heard = [len(person.messages()) for person in (ann, ben)]
        await until(lambda: all(len(person.messages()) >= before + 20
            for person, before in zip((ann, ben), heard)), 'they hear again what is said')

    for what in 2 * (cut_the_feed, kill_and_start_service, cut_the_feed, restart_database):
        await something_new()
        await what()
    await something_new()


async def nothing_is_lost_or_doubled(ann, ben, group):
    stop = asyncio.Event()
    said = {ann: [], ben: []}

    async def write(person):
        while not stop.is_set():
            said[person].append(f'{person.name} {len(said[person])}')
            await writes(person, group, said[person][-1:])

    writers = [asyncio.create_task(write(person)) for person in (ann, ben)]
    await breaks(ann, ben)
    stop.set()
    await asyncio.gather(*writers)
    for person in ann, ben:
        await writes(person, group, [f'the end, says {person.name}'])
    for person in ann, ben:
        await until(lambda: {'the end, says ann', 'the end, says ben'} <= set(person.texts()),
            f'{person.name} hears the end')
    await judge(ann, ben, said)


async def judge(ann, ben, said):
    kept, cursor, more = [], None, True
    while more:
        answer = await ann.call('/sync' + (f'?cursor={quote(cursor)}' if cursor else ''))
        kept += answer['events']
        cursor, more = answer['cursor'], answer['more']
    texts = [event['group_message']['message'] for event in kept if 'group_message' in event]
    for writer in ann, ben:
        same([text for text in texts if text in set(said[writer])], said[writer],
            f'all {len(said[writer])} of {writer.name} are there, once, in their order')
    for person in ann, ben:
        same(sorted(person.texts()), sorted(texts), f'{person.name} has handled each once')
        for writer in ann, ben:
            same([text for text in person.texts() if text in set(said[writer])], said[writer],
                f'... those of {writer.name} in their order')
        doubled = [event for brought in person.brought for event, times in collections.Counter(
            json.dumps(event) for event in brought).items() if times > 1]
        same(doubled, [], f'no WebSocket of {person.name} brought anything twice')
        same(len(person.brought), 3, f'{person.name} came again after each kill, and only then')


async def main():
    start_service()
    try:
        ann, ben, cleo = await people()
        group = await groups(ann, ben)
        await two_hear_each_other(ann, ben, cleo, group)
        await wrong_requests(ann, cleo, group)
        await strangers_are_not_let_in(ann)
        await a_late_member(ann, cleo, group)
        await logging_out()
        await nothing_is_lost_or_doubled(ann, ben, group)
        for person in ann, ben, cleo:
            person.task.cancel()
        ok(True, 'the play is over')
    finally:
        kill_service()


asyncio.run(main())
