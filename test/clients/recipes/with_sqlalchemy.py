"""SQLAlchemy, with psycopg2."""
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.orm import Session, declarative_base

from recipe import check, raised_by

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


with session_of(1) as session:
    check('a session acts as its user', who_acts(session), 1)
    session.commit()
    check('and after a commit, in the next transaction, too', who_acts(session), 1)
with session_of(2) as session:
    check('another, on the same connection, as its own', who_acts(session), 2)
with Session(engine) as session:
    check('and one without a user as nobody', who_acts(session), None)

# The trap: the pool rolls back what comes back to it, and does not undo a SET that was committed.
with engine.connect() as conn:
    with conn.begin():
        conn.execute(sa.text('SET chatrel.user_id = 2'))
with engine.connect() as conn:
    check('caveat: a SET survives in the pool', conn.scalar(sa.text('SELECT chatrel.current_user_id()')), 2)
    with conn.begin():
        conn.execute(sa.text('RESET chatrel.user_id'))

# Functions
with session_of(1) as session:
    sent = sa.func.chatrel.send_group_message(1, 'Hello').table_valued('id', 'message', 'metadata')
    row = session.execute(sa.select(sent.c.id, sent.c.message)).one()
    check('a function of columns', row.message, 'Hello')
    document = session.scalar(sa.select(sa.func.chatrel.get_message(1, row.id, type_=sa.JSON)))
    check('a document', document['sender_id'], 1)
    named = session.execute(sa.text('SELECT chatrel.sync(event_limit => :n, wait => :wait)'),
        {'n': 1, 'wait': None}).scalar_one()
    check('named arguments, as text', len(named['events']), 1)
    session.commit()

# Tables
metadata = sa.MetaData()
messages = sa.Table('groups_messages', metadata, schema='chatrel', autoload_with=engine)
check('the keys of a table are reflected', [c.name for c in messages.primary_key], ['group_id', 'id'])
check('and the types of ids', type(messages.c.id.type), sa.BIGINT)
Base = declarative_base(metadata=metadata)


class Message(Base):
    __table__ = messages


with session_of(1) as session:
    found = session.scalars(sa.select(Message).order_by(Message.id.desc()).limit(1)).one()
    check('a row is an object', found.message, 'Hello')
with Session(engine) as session:
    check('of which nobody sees any', session.scalars(sa.select(Message)).all(), [])


# Errors
def of_call(user, *arguments):
    with session_of(user) as session:
        return session.scalar(sa.text(*arguments))


error = raised_by(lambda: of_call(2, "SELECT chatrel.send_group_message(2, 'x')"))
check('not a member', (type(error), error.orig.pgcode, error.orig.diag.table_name),
    (exc.ProgrammingError, '42501', 'groups_members'))
error = raised_by(lambda: of_call(1, 'SELECT chatrel.get_group(9)'))
check('no such group', (type(error), error.orig.pgcode), (exc.InternalError, 'P0002'))
error = raised_by(lambda: of_call(1, "SELECT chatrel.create_group('ours', true)"))
check('a name that is taken', (type(error), error.orig.diag.constraint_name),
    (exc.IntegrityError, 'groups_name_key'))
error = raised_by(lambda: of_call('', 'SELECT chatrel.me()'))
check('nobody', (type(error), error.orig.pgcode), (exc.OperationalError, '28000'))
error = raised_by(lambda: of_call(1, "SELECT chatrel.sync('abc')"))
check('no cursor', (type(error), error.orig.pgcode), (exc.DataError, '22023'))
