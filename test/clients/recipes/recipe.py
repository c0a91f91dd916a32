"""What the recipes in Python share.  test/t/062_clients.pl reads what they print, and says by the
environment: IDS, of users and groups; LACKS, what is not there, where the database is a proxy;
SHARDS, URIs of the databases in which groups are, home first."""
import json
import os

IDS = json.loads(os.environ['IDS'])
ANN, BOB, OURS = IDS['ann'], IDS['bob'], IDS['ours']
LACKS = os.environ['LACKS'].split()
EVENTS_FROM = os.environ['SHARDS'].split()[OURS >> 48]  # the database of this group

with open(f'{os.path.dirname(os.path.abspath(__file__))}/errors.json') as file:
    ERRORS = [case | {'name': f"{case['sqlstate']} of {case['call']}",
        'user': IDS.get(case['user']), 'call': case['call'].format(**IDS)}
        for case in json.load(file)]


def has(what):
    """Is there that, which a proxy has not?  A line says what is left out."""
    if what in LACKS:
        print(f'left out - {what}', flush=True)
    return what not in LACKS


def check(name, got, expected):
    """A line that says whether it is so, as TAP has it."""
    if got == expected:
        print(f'ok - {name}', flush=True)
    else:
        print(f'not ok - {name}: {got!r}, not {expected!r}', flush=True)


def raised_by(do):
    """The exception that a function raises, or None."""
    try:
        do()
    except Exception as error:
        return error
    return None


FIELDS = {}  # of errors: TABLE NAME, COLUMN NAME and CONSTRAINT NAME, as they were and should be


def check_error(case, error, class_of, sqlstate, *fields):
    """An error that errors.json expects: its class, SQLSTATE and fields."""
    check(case['name'], (type(error), sqlstate), (class_of[case['sqlstate']], case['sqlstate']))
    FIELDS[case['name']] = (fields,
        tuple(case.get(field) for field in ('table', 'column', 'constraint')))


def check_club(call):
    """A private club, a direct conversation, and what one of the two catches up with.  call(user,
    function, *arguments, **named arguments) returns the first column of the first row."""
    cursor = call(BOB, 'sync', 'now')['cursor']
    group = call(ANN, 'create_group', 'club', visibility='private')
    check('users are invited by a list of ids', call(ANN, 'invite', group, [BOB]), 1)
    call(BOB, 'join_group', group)
    call(ANN, 'set_role', group, BOB, 'moderator')
    direct = call(ANN, 'direct_group', [BOB])['id']
    sent = [call(ANN, 'send_group_message', direct, 'between us', client_key='a key')
        for _ in range(2)]
    check('a send that is tried again with its key is there once', sent[1], sent[0])
    events = call(BOB, 'sync', cursor)['events']
    check('sync brings what has happened, in the order of each group',
        [[kind for event in events for kind, body in event.items() if body['group_id'] == which]
            for which in (group, direct)],
        [['member_joined', 'invited', 'member_joined', 'added_to_group', 'member_changed'],
            ['member_joined', 'member_joined', 'added_to_group', 'group_message']])
    check('with what was sent', [event['group_message']['message'] for event in events
        if 'group_message' in event], ['between us'])


def check_after_errors(call):
    """The fields of all errors, and what became of the message that the last one came after."""
    if has('error_fields'):
        check('errors say which table, column and constraint',
            *({name: pair[which] for name, pair in FIELDS.items()} for which in (0, 1)))
    history = call(ANN, 'get_group_with_chat_history', OURS)['messages']
    undone = 'undone' not in [message['message'] for message in history]
    if has('rollback'):
        check('a transaction that fails undoes what was sent in it', undone, True)
    else:
        check('caveat: what was sent in a transaction that fails stays', undone, False)
