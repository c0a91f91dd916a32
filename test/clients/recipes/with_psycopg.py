"""psycopg 3."""
import json
import select

import psycopg
from psycopg import errors
from psycopg.types.json import Jsonb

from recipe import (ANN, BOB, ERRORS, EVENTS_FROM, OURS, check, check_after_errors, check_club,
    check_error, raised_by)

conn = psycopg.connect(autocommit=True)


def act(user, query, *arguments, read_only=False):
    """The first row of a query, in a transaction in which a user acts."""
    with conn.transaction():
        conn.execute("SELECT set_config('chatrel.user_id', %s, true)", (str(user or ''),))  # a text
        if read_only:
            conn.execute('SET TRANSACTION READ ONLY')
        return conn.execute(query, arguments).fetchone()


def call(user, function, *arguments, **named):
    """The first column of what a function returns, called as a user."""
    places = ', '.join(['%s'] * len(arguments) + [f'{name} => %s' for name in named])
    return act(user, f'SELECT * FROM chatrel.{function}({places})', *arguments, *named.values())[0]


message = call(ANN, 'send_group_message', OURS, 'Hello @bob', metadata=Jsonb({'kind': 'greeting'}),
    mentions=[BOB])
document = call(BOB, 'get_message', OURS, message)
check('a message is sent, and a document of jsonb is a dict',
    (document['sender_id'], document['mentions'], document['metadata']),
    (ANN, [BOB], {'kind': 'greeting'}))
sender = conn.execute('SELECT sender_id FROM chatrel.send_group_message(%s, %s, as_user => %s)',
    (OURS, 'in one statement', BOB)).fetchone()
check('as_user says who acts, too', sender, (BOB,))
check('after a transaction nobody acts',
    conn.execute('SELECT chatrel.current_user_id()').fetchone(), (None,))
check('SET takes no parameters',
    type(raised_by(lambda: conn.execute('SET chatrel.user_id = %s', (ANN,)))), errors.SyntaxError)
check_club(call)

# Errors, and their families
CLASSES = {
    '28000': errors.InvalidAuthorizationSpecification, 'P0002': errors.NoDataFound,
    '42501': errors.InsufficientPrivilege, '22023': errors.InvalidParameterValue,
    '22001': errors.StringDataRightTruncation, '23505': errors.UniqueViolation,
    '55000': errors.ObjectNotInPrerequisiteState, '53400': errors.ConfigurationLimitExceeded,
    '54000': errors.ProgramLimitExceeded, '25006': errors.ReadOnlySqlTransaction}
FAMILIES = {
    '28000': psycopg.OperationalError, 'P0002': psycopg.ProgrammingError,
    '42501': psycopg.ProgrammingError, '22023': psycopg.DataError, '22001': psycopg.DataError,
    '23505': psycopg.IntegrityError, '55000': psycopg.OperationalError,
    '53400': psycopg.OperationalError, '54000': psycopg.OperationalError,
    '25006': psycopg.InternalError}
for case in ERRORS:
    error = raised_by(lambda: act(case['user'], f"SELECT * FROM {case['call']}",
        read_only=case.get('read_only')))
    check_error(case, error, CLASSES, error.sqlstate, error.diag.table_name, error.diag.column_name,
        error.diag.constraint_name)
check_after_errors(call)
check('the families', {sqlstate: CLASSES[sqlstate].__base__ for sqlstate in CLASSES}, FAMILIES)


# Events
def send(text):
    call(ANN, 'send_group_message', OURS, text)


def text_of(payload):
    return json.loads(payload)['group_message']['message']


# The trap: a query within the loop over notifies().  In 3.1 it takes in what comes while it runs,
# and the generator never has that.  Since 3.2 the loop keeps the lock that the query waits for.
def hear_in_loop(conn):
    """What is heard of three messages, the second of which comes while a query runs."""
    heard = []
    send('first')
    for notify in conn.notifies():
        heard.append(text_of(notify.payload))
        if conn.lock.locked():
            return 'a query would wait for ever'
        if heard[-1] == 'last':
            return heard
        send('while a query runs')
        select.select([conn], [], [], 60)
        conn.execute('SELECT 1')
        send('last')


naive = psycopg.connect(EVENTS_FROM, autocommit=True)
naive.execute('SELECT * FROM chatrel.listen(as_user => %s)', (BOB,))
check('caveat: no query in the loop over notifies()',
    hear_in_loop(naive) in (['first', 'last'], 'a query would wait for ever'), True)
naive.close()

# The listener of examples/ hears all, by a handler and by what the connection has itself.
right = psycopg.connect(EVENTS_FROM, autocommit=True)
heard = []
right.add_notify_handler(lambda notify: heard.append(text_of(notify.payload)))
right.execute('SELECT * FROM chatrel.listen(as_user => %s)', (BOB,))
send('heard by the handler')
select.select([right], [], [], 60)
right.execute('SELECT 1')
check('a handler has what comes while a query runs', heard, ['heard by the handler'])
