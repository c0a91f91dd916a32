"""SQLAlchemy, with psycopg2."""
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.orm import Session, declarative_base

from recipe import (ANN, BOB, ERRORS, OURS, check, check_after_errors, check_club, check_error, has,
    raised_by)

engine = sa.create_engine('postgresql+psycopg2://', pool_size=1, max_overflow=0)


# Who acts: for each transaction of a session, by what the application knows.
@event.listens_for(Session, 'after_begin')
def act(session, _transaction, connection):
    connection.execute(sa.text("SELECT set_config('chatrel.user_id', :user, true)"),
        {'user': str(session.info.get('user_id', ''))})


def session_of(user):
    return Session(engine, info={'user_id': user})


def who_acts(session):
    return session.scalar(sa.select(sa.func.chatrel.current_user_id()))


with session_of(ANN) as session:
    check('a session acts as its user', who_acts(session), ANN)
    session.commit()
    check('and after a commit, in the next transaction, too', who_acts(session), ANN)
with session_of(BOB) as session:
    check('another, on the same connection, as its own', who_acts(session), BOB)
with Session(engine) as session:
    check('and one without a user as nobody', who_acts(session), None)

# The trap: the pool rolls back what comes back to it, and does not undo a SET that was committed.
with engine.connect() as conn:
    with conn.begin():
        conn.execute(sa.text(f'SET chatrel.user_id = {BOB}'))
with engine.connect() as conn:
    check('caveat: a SET survives in the pool',
        conn.scalar(sa.text('SELECT chatrel.current_user_id()')), BOB)
    with conn.begin():
        conn.execute(sa.text('RESET chatrel.user_id'))

# Functions
with session_of(ANN) as session:
    sent = sa.func.chatrel.send_group_message(OURS, 'Hello').table_valued('id', 'message', 'metadata')
    row = session.execute(sa.select(sent.c.id, sent.c.message)).one()
    check('a function of columns', row.message, 'Hello')
    document = session.scalar(sa.select(sa.func.chatrel.get_message(OURS, row.id, type_=sa.JSON)))
    check('a document', document['sender_id'], ANN)
    named = session.execute(sa.text('SELECT chatrel.sync(event_limit => :n, wait => :wait)'),
        {'n': 1, 'wait': None}).scalar_one()
    check('named arguments, as text', len(named['events']), 1)
    session.commit()


def call(user, function, *arguments, **named):
    """The first column of what a function returns, called as a user."""
    bound = {f'p{n}': value for n, value in enumerate(arguments)} | named
    places = [f':p{n}' for n in range(len(arguments))] + [f'{name} => :{name}' for name in named]
    with session_of(user) as session, session.begin():
        return session.scalar(
            sa.text(f"SELECT * FROM chatrel.{function}({', '.join(places)})"), bound)


check_club(call)

# Tables
if has('tables'):
    metadata = sa.MetaData()
    messages = sa.Table('groups_messages', metadata, schema='chatrel', autoload_with=engine)
    check('the keys of a table are reflected', [c.name for c in messages.primary_key],
        ['group_id', 'id'])
    check('and the types of ids', type(messages.c.id.type), sa.BIGINT)
    Base = declarative_base(metadata=metadata)

    class Message(Base):
        __table__ = messages

    with session_of(ANN) as session:
        check('a row is an object', session.get(Message, (OURS, row.id)).message, 'Hello')
    with Session(engine) as session:
        check('of which nobody sees any', session.scalars(sa.select(Message)).all(), [])


# Errors
CLASSES = {
    '28000': exc.OperationalError, 'P0002': exc.InternalError, '42501': exc.ProgrammingError,
    '22023': exc.DataError, '22001': exc.DataError, '23505': exc.IntegrityError,
    '55000': exc.OperationalError, '53400': exc.OperationalError, '54000': exc.OperationalError,
    '25006': exc.InternalError}


def act(user, query, read_only):
    with session_of(user or '') as session:
        if read_only:
            session.execute(sa.text('SET TRANSACTION READ ONLY'))
        session.execute(sa.text(query))


for case in ERRORS:
    error = raised_by(lambda: act(case['user'], f"SELECT * FROM {case['call']}", case.get('read_only')))
    check_error(case, error, CLASSES, error.orig.pgcode, error.orig.diag.table_name,
        error.orig.diag.column_name, error.orig.diag.constraint_name)
check_after_errors(call)
