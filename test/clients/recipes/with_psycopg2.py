"""psycopg 2."""
import json
import select

import psycopg2
from psycopg2 import errors
from psycopg2.extras import Json

from recipe import (ANN, BOB, ERRORS, EVENTS_FROM, OURS, check, check_after_errors, check_club,
    check_error, raised_by)

conn = psycopg2.connect('')


def act(user, query, *arguments, read_only=False):
    """The first row of a query, in a transaction in which a user acts."""
    with conn, conn.cursor() as cur:  # the block ends the transaction; the connection stays open
        cur.execute("SELECT set_config('chatrel.user_id', %s, true)", (str(user or ''),))  # a text
        if read_only:
            cur.execute('SET TRANSACTION READ ONLY')
        cur.execute(query, arguments)
        return cur.fetchone()


def call(user, function, *arguments, **named):
    """The first column of what a function returns, called as a user."""
    places = ', '.join(['%s'] * len(arguments) + [f'{name} => %s' for name in named])
    return act(user, f'SELECT * FROM chatrel.{function}({places})', *arguments, *named.values())[0]


message = call(ANN, 'send_group_message', OURS, 'Hello @bob', metadata=Json({'kind': 'greeting'}),
    mentions=[BOB])
document = call(BOB, 'get_message', OURS, message)
check('a message is sent, and a document of jsonb is a dict',
    (document['sender_id'], document['mentions'], document['metadata']),
    (ANN, [BOB], {'kind': 'greeting'}))
with conn, conn.cursor() as cur:
    cur.execute('SELECT sender_id FROM chatrel.send_group_message(%s, %s, as_user => %s)',
        (OURS, 'in one statement', BOB))
    check('as_user says who acts, too', cur.fetchone(), (BOB,))
    cur.execute('SELECT chatrel.current_user_id()')
    check('after a transaction nobody acts', cur.fetchone(), (None,))
check_club(call)

# Errors, and their families
CLASSES = {
    '28000': errors.InvalidAuthorizationSpecification, 'P0002': errors.NoDataFound,
    '42501': errors.InsufficientPrivilege, '22023': errors.InvalidParameterValue,
    '22001': errors.StringDataRightTruncation, '23505': errors.UniqueViolation,
    '55000': errors.ObjectNotInPrerequisiteState, '53400': errors.ConfigurationLimitExceeded,
    '54000': errors.ProgramLimitExceeded, '25006': errors.ReadOnlySqlTransaction}
FAMILIES = {
    '28000': psycopg2.OperationalError, 'P0002': psycopg2.InternalError,
    '42501': psycopg2.ProgrammingError, '22023': psycopg2.DataError, '22001': psycopg2.DataError,
    '23505': psycopg2.IntegrityError, '55000': psycopg2.OperationalError,
    '53400': psycopg2.OperationalError, '54000': psycopg2.OperationalError,
    '25006': psycopg2.InternalError}
for case in ERRORS:
    error = raised_by(lambda: act(case['user'], f"SELECT * FROM {case['call']}",
        read_only=case.get('read_only')))
    check_error(case, error, CLASSES, error.pgcode, error.diag.table_name, error.diag.column_name,
        error.diag.constraint_name)
check_after_errors(call)
check('the families', {sqlstate: CLASSES[sqlstate].__base__ for sqlstate in CLASSES}, FAMILIES)


# Events
def send(text):
    call(ANN, 'send_group_message', OURS, text)


def text_of(notify):
    return json.loads(notify.payload)['group_message']['message']


listener = psycopg2.connect(EVENTS_FROM)
cur = listener.cursor()
cur.execute('SELECT * FROM chatrel.listen(as_user => %s)', (BOB,))
send('before the commit')
listener.commit()
listener.autocommit = True
send('after it')
select.select([listener], [], [], 60)
listener.poll()
check('a listen counts from its commit on', [text_of(n) for n in listener.notifies], ['after it'])
listener.notifies.clear()

# The trap: a query takes in what comes while it runs, and the socket has nothing to read then.  Who
# empties conn.notifies after that loses it; who waits first does not see it.
send('while a query runs')
cur.execute('SELECT 1')
check('caveat: after a query, the socket is silent', select.select([listener], [], [], 0)[0], [])
check('but conn.notifies has it', [text_of(n) for n in listener.notifies], ['while a query runs'])
listener.notifies.clear()


def events():
    """What is heard, for ever: one by one, so that the loop over it may make queries."""
    while True:
        while listener.notifies:
            yield listener.notifies.pop(0)
        select.select([listener], [], [], 60)
        listener.poll()


heard = []
send('first')
for notify in events():
    heard.append(text_of(notify))
    if len(heard) == 3:
        break
    send(f'sent in the loop, {len(heard)}')
    cur.execute('SELECT 1')
check('the right loop hears all', heard, ['first', 'sent in the loop, 1', 'sent in the loop, 2'])
