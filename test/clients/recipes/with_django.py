"""Django, with psycopg2: models of chatrel's tables, who acts, and test databases."""
import contextlib
import json
import os
import sys
import tempfile
import unittest

import django
from django.conf import settings

from recipe import (ANN, BOB, ERRORS, OURS, check, check_after_errors, check_club, check_error, has,
    raised_by)

# models.py of an application whose accounts are linked to chatrel's users
ACCOUNTS = '''
from django.db import models


class Account(models.Model):
    login = models.TextField(unique=True)
'''
folder = tempfile.mkdtemp()
os.mkdir(f'{folder}/accounts')
with open(f'{folder}/accounts/models.py', 'w') as file:
    file.write(ACCOUNTS)
sys.path.append(folder)

database = os.environ['PGDATABASE']
settings.configure(
    DATABASES={'default': {
        'ENGINE': 'django.db.backends.postgresql',
        'NAME': database,
        'HOST': os.environ['PGHOST'],
        'PORT': os.environ['PGPORT'],
        'USER': os.environ['PGUSER'],
        # The extension is made by a superuser; a test database is a copy of one that has it.
        'TEST': {'TEMPLATE': 'chat'},
    }},
    INSTALLED_APPS=['accounts'],
    DEFAULT_AUTO_FIELD='django.db.models.BigAutoField',
    USE_TZ=True,
)
django.setup()

from django.db import (  # noqa: E402
    DataError, IntegrityError, InternalError, OperationalError, ProgrammingError, connection,
    models, transaction)
from accounts.models import Account  # noqa: E402
from django.test import TestCase, TransactionTestCase  # noqa: E402
from django.test.utils import get_runner  # noqa: E402


class Group(models.Model):
    name = models.TextField()

    class Meta:
        app_label = 'chat'
        managed = False
        db_table = '"chatrel"."groups"'


class Message(models.Model):
    group = models.ForeignKey(Group, models.DO_NOTHING)
    sender_id = models.BigIntegerField()
    message = models.TextField(null=True)

    class Meta:
        app_label = 'chat'
        managed = False
        db_table = '"chatrel"."groups_messages"'


@contextlib.contextmanager
def acting_as(user):
    """A transaction in which a user acts: the tables, too, show what that user may see.  Within
    another transaction, as in a TestCase, it puts back who acted there."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('chatrel.user_id', true)")
        before, = cursor.fetchone()
        cursor.execute("SELECT set_config('chatrel.user_id', %s, true)", [str(user)])
        yield
        cursor.execute("SELECT set_config('chatrel.user_id', %s, true)", [before or ''])


def rows_of(function, *arguments, **named):
    """The rows of a function of chatrel's, as dicts."""
    places = ', '.join(['%s'] * len(arguments) + [f'{name} => %s' for name in named])
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT * FROM chatrel.{function}({places})', [*arguments, *named.values()])
        columns = [column.name for column in cursor.description]
        return [dict(zip(columns, row)) for row in cursor.fetchall()]


def call(user, function, *arguments, **named):
    """The first column of the first row; of a document, which comes as a str, what it says."""
    value = next(iter(rows_of(function, *arguments, **named, as_user=user)[0].values()))
    return json.loads(value) if isinstance(value, str) and value.startswith('{') else value


sent, = rows_of('send_group_message', OURS, 'Hello', as_user=ANN)
check('a message is sent', sent['message'], 'Hello')
document = rows_of('get_message', OURS, sent['id'], as_user=BOB)[0]['get_message']
check('a document of jsonb is a str', json.loads(document)['sender_id'], ANN)
if has('tables'):
    with acting_as(BOB):
        check('a row is an object', [(m.group.name, m.message) for m in
            Message.objects.filter(id=sent['id'])], [('ours', 'Hello')])
    check('of which nobody sees any', Message.objects.count(), 0)
check_club(call)

# Errors
CLASSES = {
    '28000': OperationalError, 'P0002': InternalError, '42501': ProgrammingError,
    '22023': DataError, '22001': DataError, '23505': IntegrityError, '55000': OperationalError,
    '53400': OperationalError, '54000': OperationalError, '25006': InternalError}


def act(user, query, read_only):
    with acting_as(user or ''), connection.cursor() as cursor:
        if read_only:
            cursor.execute('SET TRANSACTION READ ONLY')
        cursor.execute(query)


for case in ERRORS:
    error = raised_by(lambda: act(case['user'], f"SELECT * FROM {case['call']}",
        case.get('read_only')))
    cause = error.__cause__
    check_error(case, error, CLASSES, cause.pgcode, cause.diag.table_name, cause.diag.column_name,
        cause.diag.constraint_name)
check_after_errors(call)


# Tests of an application, in databases that Django makes and drops
def ours():
    return Message.objects.filter(group_id=OURS)


class InTransaction(TestCase):
    def test_it_is_rolled_back(self):
        self.assertNotEqual(connection.settings_dict['NAME'], database)
        call(ANN, 'send_group_message', OURS, 'in a test')
        with acting_as(ANN):
            self.assertEqual(ours().count(), 1)
        self.assertEqual(ours().count(), 0)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('chatrel.user_id', %s, true)", [str(ANN)])
        self.assertEqual(ours().count(), 1)  # a savepoint that is released keeps it


class Committed(TransactionTestCase):
    available_apps = ['accounts']

    def test_it_is_not(self):
        with acting_as(ANN):
            self.assertEqual(ours().count(), 0)
        call(ANN, 'send_group_message', OURS, 'committed')


class Linked(TransactionTestCase):
    available_apps = ['accounts']

    def test_a_flush_leaves_what_is_not_managed(self):
        with acting_as(ANN):
            self.assertEqual([m.message for m in ours()], ['committed'])
        Account.objects.create(id=ANN, login='ann')
        Account.objects.create(id=BOB, login='bob')
        call(BOB, 'send_group_message', OURS, 'before the link')
        with connection.cursor() as cursor:
            cursor.execute("SELECT chatrel.link_users('accounts_account', 'id', 'login')")


class LinkedBefore(TestCase):
    def test_a_flush_of_linked_accounts_deletes_users(self):
        self.assertEqual(Account.objects.count(), 0)
        error = raised_by(lambda: call(BOB, 'send_group_message', OURS, 'x'))
        self.assertEqual((type(error), error.__cause__.pgcode), (InternalError, 'P0002'))

    def test_that_come_back_in_no_group(self):
        Account.objects.create(id=BOB, login='bob')
        error = raised_by(lambda: call(BOB, 'send_group_message', OURS, 'x'))
        self.assertEqual((type(error), error.__cause__.pgcode), (ProgrammingError, '42501'))


if has('tables'):
    runner = get_runner(settings)(verbosity=0, interactive=False)
    runner.setup_test_environment()
    connection.close()
    old_config = runner.setup_databases()
    suite = unittest.TestSuite(unittest.defaultTestLoader.loadTestsFromTestCase(case)
        for case in (InTransaction, Committed, Linked, LinkedBefore))
    result = runner.run_suite(suite)
    runner.teardown_databases(old_config)
    check('test databases are copies of the template; a flush leaves what is not linked',
        (result.testsRun, result.errors, result.failures), (5, [], []))
