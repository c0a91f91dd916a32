"""Who hears what: the WebSockets of this process, and who is in which group."""
import asyncio
import collections
import json

MOST_BEHIND = 1000  # events that a client has not taken yet; with more it has to come again


class Client:
    """A WebSocket: what it is to be sent, and whether it is to be closed."""

    def __init__(self):
        self.texts = asyncio.Queue(MOST_BEHIND)
        self.closed = asyncio.Event()

    def push(self, text):
        try:
            self.texts.put_nowait(text)
        except asyncio.QueueFull:
            self.closed.set()  # it comes back, and syncs


class Hub:
    def __init__(self):
        self.clients = collections.defaultdict(set)  # user -> its clients
        self.members = {}  # database -> group -> its users

    def enter(self, user):
        client = Client()
        self.clients[user].add(client)
        return client

    def leave(self, user, client):
        self.clients[user].discard(client)
        if not self.clients[user]:
            del self.clients[user]

    def begin(self, database, members):
        users = self.members[database] = collections.defaultdict(set)
        for group, user in members:
            users[group].add(user)
        # What clients have seen may be of a history that is not there any more.
        for clients in self.clients.values():
            for client in clients:
                client.closed.set()

    def hand_on(self, database, kind, event):
        # Ids may be strings: chatrel.json_ids.
        group, user = int(event.get('group_id', 0)), int(event.get('user_id', 0))
        members = self.members[database]
        if kind == 'member_joined':
            members[group].add(user)
        elif kind == 'member_left':
            members[group].discard(user)
        elif kind == 'group_deleted':
            members.pop(group, None)  # each of its members is a recipient
        if 'recipient_id' in event:
            hearers = [int(event['recipient_id'])]
        else:
            hearers = members.get(group, ())
        text = json.dumps({kind: event})
        for hearer in hearers:
            for client in self.clients.get(hearer, ()):
                client.push(text)
