"""Alembic, with SQLAlchemy: migrations of an application's own tables, beside chatrel's."""
import os
import tempfile

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from recipe import check, has

# env.py of the application
ENV = '''
from alembic import context
from sqlalchemy import create_engine

from models import metadata


def include_object(thing, name, kind, reflected, compare_to):
    """Not chatrel's tables, and nothing of theirs; nor those of a proxy."""
    table = thing if kind == 'table' else getattr(thing, 'table', None)
    return getattr(table, 'schema', None) not in ('chatrel', 'chatrel_proxy')


with create_engine('postgresql+psycopg2://').connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, include_schemas=True,
        include_object=include_object)
    with context.begin_transaction():
        context.run_migrations()
'''

# models.py of the application, with a key to chatrel's table where there is one
KEY = "sa.ForeignKey('chatrel.users.id', ondelete='CASCADE'), " if has('tables') else ''
MODELS = f'''
import sqlalchemy as sa

metadata = sa.MetaData()
users = sa.Table('users', metadata, sa.Column('id', sa.BigInteger, primary_key=True),
    schema='chatrel')
profiles = sa.Table('profiles', metadata,
    sa.Column('user_id', sa.BigInteger, {KEY}primary_key=True),
    sa.Column('avatar_url', sa.Text))
'''

TEMPLATE = '''
from alembic import op
import sqlalchemy as sa
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade():
    ${upgrades}


def downgrade():
    ${downgrades}
'''

folder = tempfile.mkdtemp()
os.makedirs(f'{folder}/versions')
for name, text in {'env.py': ENV, 'models.py': MODELS, 'script.py.mako': TEMPLATE}.items():
    with open(f'{folder}/{name}', 'w') as file:
        file.write(text)
config = Config()
config.set_main_option('script_location', folder)
config.set_main_option('prepend_sys_path', folder)
config.attributes['configure_logger'] = False

engine = sa.create_engine('postgresql+psycopg2://')


def differences(**options):
    """The schemas in which autogenerate would drop tables."""
    namespace = {}
    exec(MODELS, namespace)
    with engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={'include_schemas': True, **options})
        found = compare_metadata(context, namespace['metadata'])
    return {d[1].schema for d in found if d[0] == 'remove_table'}


check('caveat: without include_object, tables of chatrel would be dropped',
    differences().isdisjoint({'chatrel', 'chatrel_proxy'}), False)

first = command.revision(config, 'profiles', autogenerate=True)
with open(first.path) as file:
    text = file.read()
check('a migration that is generated has the table of the application', "create_table('profiles'" in text, True)
if KEY:
    check('with its key to chatrel', "['chatrel.users.id']" in text, True)
check('and drops nothing', text.split('def downgrade')[0].count('drop_'), 0)
command.upgrade(config, 'head')
with engine.connect() as conn:
    check('it runs', conn.scalar(sa.text("SELECT to_regclass('profiles')::text")), 'profiles')
    if KEY:
        check('and the key is there', conn.scalar(sa.text("SELECT confrelid::regclass::text"
            " FROM pg_constraint WHERE conrelid = 'profiles'::regclass AND contype = 'f'")),
            'chatrel.users')
second = command.revision(config, 'nothing', autogenerate=True)
with open(second.path) as file:
    check('then there is nothing more to do', 'pass' in file.read().split('def downgrade')[0], True)
command.upgrade(config, 'head')
command.downgrade(config, 'base')
with engine.connect() as conn:
    check('and back', conn.scalar(sa.text("SELECT to_regclass('profiles')")), None)
