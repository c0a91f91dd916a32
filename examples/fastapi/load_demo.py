#!/usr/bin/env python3
"""Loads people and what they have said from a JSON file.

    PGDATABASE=app PGUSER=service ./load_demo.py demo.json
"""
import asyncio
import datetime as dt
import json
import sys

import databases
import sessions

SEND = 'SELECT chatrel.send_group_message($1, $2, $3, as_user => $4)'


async def load(pool, home, demo):
    users = {user['username']: await sessions.sign_up(pool, home, **user)
        for user in demo['users']}
    for pair in demo['friends']:  # who are friends follow each other
        for one, other in pair, reversed(pair):
            await pool.execute('SELECT chatrel.follow($1, as_user => $2)', users[other], users[one])
    for message in demo['messages']:
        sender, receiver = users[message['sender']], users[message['receiver']]
        talk = json.loads(await pool.fetchval(
            'SELECT chatrel.direct_group($1, as_user => $2)', [receiver], sender))
        await pool.execute(SEND, talk['id'], message['message'],
            dt.datetime.fromisoformat(message['datetime']), sender)
    groups = {group['name']: await pool.fetchval(
        'SELECT id FROM chatrel.create_group($1, join_this_group => true, as_user => $2)',
        group['name'], users[group['creator']]) for group in demo['groups']}
    for member in demo['groups_members']:
        await pool.execute('SELECT chatrel.join_group($1, as_user => $2)',
            groups[member['group']], users[member['user']])
    for message in demo['groups_messages']:
        await pool.execute(SEND, groups[message['group']], message['message'],
            dt.datetime.fromisoformat(message['datetime']), users[message['sender']])


async def main(file):
    with open(file, encoding='utf-8') as text:
        demo = json.load(text)
    async with databases.pools(max_size=1, min_size=1) as (pool, home):
        await load(pool, home, demo)


asyncio.run(main(*sys.argv[1:]))
