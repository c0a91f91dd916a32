"""psycopg 2."""
import json
import select

import psycopg2
from psycopg2.extras import Json

from recipe import check, raised_by

conn = psycopg2.connect('')
with conn, conn.cursor() as cur:  # the block commits; the connection stays open
    cur.execute('SELECT id, sender_id FROM chatrel.send_group_message(%s, %s, metadata => %s,'
        ' mentions => %s, as_user => %s)', (1, 'Hello @bob', Json({'kind': 'greeting'}), [2], 1))
    message, sender = cur.fetchone()
check('a message is sent, with metadata and mentions, as whom as_user says', sender, 1)

with conn, conn.cursor() as cur:
    cur.execute("SELECT set_config('chatrel.user_id', %s, true)", ('2',))  # a text
    cur.execute('SELECT chatrel.get_message(1, %s)', (message,))
    document = cur.fetchone()[0]
check('a document of jsonb is a dict', (document['sender_id'], document['metadata']),
    (1, {'kind': 'greeting'}))


def call(query, *arguments):
    with conn, conn.cursor() as cur:
        cur.execute(query, arguments)
        return cur.fetchone()[0]


error = raised_by(lambda: call("SELECT chatrel.current_user_id()"))
check('after the transaction nobody acts', error or call('SELECT chatrel.current_user_id()'), None)

# Errors
error = raised_by(lambda: call("SELECT chatrel.send_group_message(2, 'x', as_user => 2)"))
check('not a member', (type(error), error.diag.table_name),
    (psycopg2.errors.InsufficientPrivilege, 'groups_members'))
error = raised_by(lambda: call('SELECT chatrel.get_group(9, as_user => 1)'))
check('no such group', (type(error), error.diag.table_name), (psycopg2.errors.NoDataFound, 'groups'))
error = raised_by(lambda: call('SELECT chatrel.me()'))
check('nobody', type(error), psycopg2.errors.InvalidAuthorizationSpecification)
error = raised_by(lambda: call("SELECT chatrel.create_group('ours', true, as_user => 1)"))
check('a name that is taken', (type(error), error.diag.constraint_name),
    (psycopg2.errors.UniqueViolation, 'groups_name_key'))
check('the families of DB-API', (psycopg2.errors.InsufficientPrivilege.__mro__[1],
    psycopg2.errors.NoDataFound.__mro__[1], psycopg2.errors.InvalidParameterValue.__mro__[1],
    psycopg2.errors.ObjectNotInPrerequisiteState.__mro__[1]), (psycopg2.ProgrammingError,
    psycopg2.InternalError, psycopg2.DataError, psycopg2.OperationalError))

# Events
listener = psycopg2.connect('')
cur = listener.cursor()
cur.execute('SELECT * FROM chatrel.listen(as_user => 2)')
call("SELECT chatrel.send_group_message(1, 'before the commit', as_user => 1)")
listener.commit()
listener.autocommit = True
call("SELECT chatrel.send_group_message(1, 'after it', as_user => 1)")


def hear(conn, count):
    heard = []
    while len(heard) < count and select.select([conn], [], [], 60)[0]:
        conn.poll()
        heard += [json.loads(notify.payload) for notify in conn.notifies]
        conn.notifies.clear()
    return heard


check('a listen counts from its commit on', [e['group_message']['message']
    for e in hear(listener, 1)], ['after it'])

# What comes while a query runs is put into conn.notifies as well, and nothing is readable then.
call("SELECT chatrel.send_group_message(1, 'while a query runs', as_user => 1)")
cur.execute('SELECT 1')
check('the socket has nothing more', select.select([listener], [], [], 0)[0], [])
check('but conn.notifies has it', [json.loads(n.payload)['group_message']['message']
    for n in listener.notifies], ['while a query runs'])
