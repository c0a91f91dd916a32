"""What the recipes in Python share: test/t/062_clients.pl reads what they print."""
import json
import os

with open(f'{os.path.dirname(os.path.abspath(__file__))}/errors.json') as file:
    ERRORS = json.load(file)


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


def check_error(case, error, class_of, fields):
    """An error that errors.json expects: its class, and SQLSTATE, TABLE NAME, COLUMN NAME
    and CONSTRAINT NAME."""
    check(f"{case['sqlstate']} of {case['call']}", (type(error), *fields),
        (class_of[case['sqlstate']], case['sqlstate'],
            *(case.get(field) for field in ('table', 'column', 'constraint'))))


def check_club(call):
    """A private club, a direct conversation, and what one of the two catches up with.  call(user,
    function, *arguments, **named arguments) returns the first column of the first row."""
    cursor = call(2, 'sync', 'now')['cursor']
    group = call(1, 'create_group', 'club', visibility='private')
    check('users are invited by a list of ids', call(1, 'invite', group, [2]), 1)
    call(2, 'join_group', group)
    call(1, 'set_role', group, 2, 'moderator')
    direct = call(1, 'direct_group', [2])['id']
    call(1, 'send_group_message', direct, 'between us')
    events = call(2, 'sync', cursor)['events']
    check('sync brings what has happened', [next(iter(event)) for event in events],
        ['member_joined', 'invited', 'member_joined', 'added_to_group', 'member_changed',
            'member_joined', 'member_joined', 'added_to_group', 'group_message'])
    check('the last of it', events[-1]['group_message']['message'], 'between us')
