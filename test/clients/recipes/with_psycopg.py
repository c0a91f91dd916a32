"""psycopg 3."""
import json
import select

import psycopg
from psycopg.types.json import Jsonb

from recipe import check, raised_by

conn = psycopg.connect()
with conn.transaction():
    message, sender = conn.execute('SELECT id, sender_id FROM chatrel.send_group_message(%s, %s,'
        ' metadata => %s, mentions => %s, as_user => %s)',
        (1, 'Hello @bob', Jsonb({'kind': 'greeting'}), [2], 1)).fetchone()
check('a message is sent, with metadata and mentions, as whom as_user says', sender, 1)

with conn.transaction():
    conn.execute("SELECT set_config('chatrel.user_id', %s, true)", ('2',))  # a text
    document, = conn.execute('SELECT chatrel.get_message(1, %s)', (message,)).fetchone()
check('a document of jsonb is a dict', (document['sender_id'], document['metadata']),
    (1, {'kind': 'greeting'}))


def call(query, *arguments):
    with conn.transaction():
        return conn.execute(query, arguments).fetchone()[0]


check('after the transaction nobody acts', call('SELECT chatrel.current_user_id()'), None)
check('SET takes no parameters', type(raised_by(lambda: call('SET chatrel.user_id = %s', 1))),
    psycopg.errors.SyntaxError)

# Errors
error = raised_by(lambda: call("SELECT chatrel.send_group_message(2, 'x', as_user => 2)"))
check('not a member', (type(error), error.diag.table_name),
    (psycopg.errors.InsufficientPrivilege, 'groups_members'))
error = raised_by(lambda: call('SELECT chatrel.get_group(9, as_user => 1)'))
check('no such group', (type(error), error.diag.table_name), (psycopg.errors.NoDataFound, 'groups'))
error = raised_by(lambda: call('SELECT chatrel.me()'))
check('nobody', type(error), psycopg.errors.InvalidAuthorizationSpecification)
error = raised_by(lambda: call("SELECT chatrel.create_group('ours', true, as_user => 1)"))
check('a name that is taken', (type(error), error.diag.constraint_name),
    (psycopg.errors.UniqueViolation, 'groups_name_key'))
check('the families of DB-API', (psycopg.errors.InsufficientPrivilege.__mro__[1],
    psycopg.errors.NoDataFound.__mro__[1], psycopg.errors.InvalidParameterValue.__mro__[1],
    psycopg.errors.ObjectNotInPrerequisiteState.__mro__[1]), (psycopg.ProgrammingError,
    psycopg.ProgrammingError, psycopg.DataError, psycopg.OperationalError))


# Events.  The trap: the query in the loop takes in what comes while it runs, and the generator
# never has that.
def send(text):
    call('SELECT chatrel.send_group_message(1, %s, as_user => 1)', text)


def text_of(payload):
    return json.loads(payload)['group_message']['message']


def hear_in_loop(conn, texts):
    """Sends the first text, and one more in the loop, before a query there."""
    heard = []
    send(texts[0])
    for notify in conn.notifies():
        heard.append(text_of(notify.payload))
        if len(heard) == 1:
            send(texts[1])
            select.select([conn], [], [], 60)
            conn.execute('SELECT 1')
            send(texts[2])
        if heard[-1] == texts[2]:
            break
    return heard


# Later versions than 3.1 are said to keep it.
if psycopg.__version__.startswith('3.1.'):
    naive = psycopg.connect(autocommit=True)
    naive.execute('SELECT * FROM chatrel.listen(as_user => 2)')
    check('caveat: notifies() misses what comes while a query runs',
        hear_in_loop(naive, ['first', 'while a query runs', 'last']), ['first', 'last'])
    naive.close()

# The listener of examples/ hears all, by a handler and by what the connection has itself.
right = psycopg.connect(autocommit=True)
heard = []
right.add_notify_handler(lambda notify: heard.append(text_of(notify.payload)))
right.execute('SELECT * FROM chatrel.listen(as_user => 2)')
send('heard by the handler')
select.select([right], [], [], 60)
right.execute('SELECT 1')
check('a handler has what comes while a query runs', heard, ['heard by the handler'])
