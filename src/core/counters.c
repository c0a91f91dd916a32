/*
 * counters.c
 *	  Exact counters that nobody waits for.
 *
 * To count is to update a row, and an updated row is locked until its
 * transaction ends: were there one row for a user, all who follow a celebrity
 * would queue up behind one another, and two transactions that follow several
 * users would deadlock.  So an id may have several rows, the sum of which
 * counts, and nobody ever waits for one:
 *
 *	  shared	slot 0, written by the holder of the id's advisory lock, which is
 *				never waited for.
 *	  private	slot n, written by the backend of number n only: where it did not
 *				get the lock.
 *
 * So an ordinary user has one row or a few, and a celebrity at most one for
 * each backend that the server allows, however many followers there are.
 *
 * Only private rows are written by a transaction with a snapshot of its own
 * (REPEATABLE READ), which would fail on a shared one that others have changed
 * since; and by one that changes the counts of many, as there is not room for
 * any number of locks.
 *
 * A transaction adds up in memory what it changes, and writes it once, when it
 * commits.  An update leaves a version of the row behind, which cannot be
 * pruned while its transaction runs, and each next update must pass all of
 * them: were each change written, deleting n followers of one user would take
 * the time of n squared.  And the lock is held only while the transaction
 * commits.  What is not written yet (pending) is rolled back with a
 * subtransaction by means of a log of the changes that open ones have made.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "core/check.h"
#include "core/compat.h"
#include "core/counters.h"
#include "core/rows.h"

/* What is to be added for one id. */
typedef struct Pending
{
	int64		id;
	int64		counts[COUNTER_MAX_COUNTS];
	char		status;			/* simplehash's */
} Pending;

#define SH_PREFIX			pending
#define SH_ELEMENT_TYPE		Pending
#define SH_KEY_TYPE			int64
#define SH_KEY				id
#define SH_HASH_KEY(tb, key)	hash_bytes((const unsigned char *) &(key), sizeof(key))
#define SH_EQUAL(tb, a, b)	((a) == (b))
#define SH_SCOPE			static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* A change that is undone if the subtransaction aborts. */
typedef struct Change
{
	CounterTable *table;
	Oid			counted;		/* of the table before */
	int			nest_level;		/* of the subtransaction */
	int64		id;
	int64		counts[COUNTER_MAX_COUNTS];
} Change;

/* Up to so many ids of a transaction: the server has room for 64 locks of each. */
#define MAX_SHARED		24

/* After so many changes they are written before the end: memory must not grow with a bulk load. */
#define MAX_PENDING		(256 * 1024)

static CounterTable *tables = NULL;

static Change *changes = NULL;
static uint64 nchanges = 0;
static uint64 max_changes = 0;

/* Has this transaction written a private row, and of which table? */
static const CounterTable *wrote_private = NULL;

/* ---------- what a transaction will add ---------- */

static void
log_change(CounterTable *table, int64 id, const int64 *counts)
{
	int			nest_level = GetCurrentTransactionNestLevel();
	Change	   *change;

	/* The transaction itself does not go on after an error. */
	if (nest_level == 1)
		return;
	if (changes == NULL)
	{
		max_changes = 32;
		changes = MemoryContextAlloc(TopTransactionContext, max_changes * sizeof(Change));
	}
	else if (nchanges == max_changes)
	{
		max_changes *= 2;
		changes = repalloc_huge(changes, max_changes * sizeof(Change));
	}
	change = &changes[nchanges++];
	change->table = table;
	change->counted = table->counted;
	change->nest_level = nest_level;
	change->id = id;
	memcpy(change->counts, counts, table->ncounts * sizeof(int64));
}

/* Takes back what is pending for an id. */
static void
cancel(CounterTable *table, Pending *pending)
{
	int64		counts[COUNTER_MAX_COUNTS];

	for (int i = 0; i < COUNTER_MAX_COUNTS; i++)
		counts[i] = -pending->counts[i];
	log_change(table, pending->id, counts);
	memset(pending->counts, 0, sizeof(pending->counts));
}

void
counters_forget(CounterTable *table)
{
	pending_iterator iterator;
	Pending    *pending;

	table->nadded = 0;
	if (table->pending == NULL)
		return;
	pending_start_iterate(table->pending, &iterator);
	while ((pending = pending_iterate(table->pending, &iterator)) != NULL)
		cancel(table, pending);
	if (nchanges == 0)
		pending_reset(table->pending);
}

void
counters_pending(const CounterTable *table, int64 id, int64 *counts)
{
	Pending    *pending = NULL;

	if (table->pending != NULL)
		pending = pending_lookup(table->pending, id);
	for (int i = 0; i < table->ncounts; i++)
		counts[i] = pending != NULL ? pending->counts[i] : 0;
}

static int
compare_pending(const void *a, const void *b)
{
	int64		left = ((const Pending *) a)->id;
	int64		right = ((const Pending *) b)->id;

	return left < right ? -1 : left > right;
}

/* What there is to write, in the order of the ids. */
static Pending *
sorted_pending(const CounterTable *table, int *count)
{
	static const int64 nothing[COUNTER_MAX_COUNTS];
	pending_iterator iterator;
	Pending    *pending;
	Pending    *sorted;

	*count = 0;
	if (table->pending == NULL)
		return NULL;
	sorted = palloc_array(Pending, Max(table->pending->members, 1));
	pending_start_iterate(table->pending, &iterator);
	while ((pending = pending_iterate(table->pending, &iterator)) != NULL)
		if (memcmp(pending->counts, nothing, sizeof(nothing)) != 0)
			sorted[(*count)++] = *pending;
	qsort(sorted, *count, sizeof(Pending), compare_pending);
	return sorted;
}

/* Arrays of the ids, and of each count. */
static void
pending_arrays(const CounterTable *table, const Pending *pending, int count, Datum *arrays)
{
	int64	   *elements = palloc_array(int64, Max(count, 1));

	for (int i = 0; i < count; i++)
		elements[i] = pending[i].id;
	arrays[0] = int64_array(elements, count);
	for (int column = 0; column < table->ncounts; column++)
	{
		for (int i = 0; i < count; i++)
			elements[i] = pending[i].counts[column];
		arrays[column + 1] = int64_array(elements, count);
	}
	pfree(elements);
}

void
counters_all_pending(const CounterTable *table, Datum *arrays)
{
	int			count;
	Pending    *pending = sorted_pending(table, &count);

	pending_arrays(table, pending, count, arrays);
}

/* ---------- writing it ---------- */

/*
 * A prepared transaction would keep the lock on such a row, while another backend
 * gets the number and must not wait.
 */
int32
counters_private_slot(const CounterTable *table)
{
	wrote_private = table;
	return MyProcNumber + 1;
}

/* Whether the transaction, until it ends, is the one that writes the shared row. */
static bool
lock_shared(const CounterTable *table, int64 id)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, (uint32) (id >> 32), (uint32) id,
						 table->lock_class);
	return LockAcquire(&tag, ExclusiveLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
}

static void
write_many(CounterTable *table, int32 slot, const Pending *pending, int count)
{
	Datum		values[PLAN_MAX_ARGS];

	values[0] = Int32GetDatum(slot);
	pending_arrays(table, pending, count, &values[1]);
	check_changed(plan_run(&table->add_many, PLAN_WRITE, values, NULL).nrows, count, table->name);
}

/* What the shared row of an id is to be, after what it was, if it is there */
static TupleTableSlot *
new_shared_row(const CounterTable *table, Relation rel, TupleTableSlot *old, const Pending *pending)
{
	TupleTableSlot *row = row_new(rel);
	bool		isnull;

	row_set(row, table->id_column, Int64GetDatum(pending->id));
	row_set(row, "slot", Int32GetDatum(COUNTER_SHARED_SLOT));
	for (int i = 0; i < table->ncounts; i++)
	{
		const char *column = table->count_columns[i];
		int64		count = old == NULL ? 0 : DatumGetInt64(row_get(old, column, &isnull));

		row_set(row, column, Int64GetDatum(count + pending->counts[i]));
	}
	return row;
}

/* Nobody else writes the shared row of an id whose lock is held. */
static void
write_shared(const CounterTable *table, Relation rel, const Pending *pending)
{
	const int64 key[] = {pending->id, COUNTER_SHARED_SLOT};
	TupleTableSlot *old = row_find(rel, key, 2);
	TupleTableSlot *row = new_shared_row(table, rel, old, pending);

	if (old == NULL)
		check_changed(row_add(rel, row), 1, table->name);
	else
	{
		row_replace(rel, old, row);
		row_drop(old);
	}
	row_drop(row);
}

static void
write_all_shared(const CounterTable *table, const Pending *pending, int count)
{
	Relation	rel;

	rows_begin(PLAN_WRITE);
	rel = rows_open(table->table, RowExclusiveLock, ACL_SELECT | ACL_INSERT | ACL_UPDATE);
	for (int i = 0; i < count; i++)
		write_shared(table, rel, &pending[i]);
	rows_close(rel);
	rows_end();
}

/* To the shared rows that can be locked at once, and for the others to private ones. */
static void
write_pending(CounterTable *table, Pending *pending, int count)
{
	Pending		locked[MAX_SHARED];
	int			nlocked = 0;
	int			nprivate = 0;

	if (count > MAX_SHARED || IsolationUsesXactSnapshot())
		nprivate = count;
	else
		for (int i = 0; i < count; i++)
		{
			if (lock_shared(table, pending[i].id))
				locked[nlocked++] = pending[i];
			else
				pending[nprivate++] = pending[i];
		}

	if (nlocked > 0)
		write_all_shared(table, locked, nlocked);
	if (nprivate > 0)
		write_many(table, counters_private_slot(table), pending, nprivate);
}

/* Writes what is pending, unless the tables are gone. */
static void
counters_write(CounterTable *table)
{
	bool		read_only = XactReadOnly;
	OwnerScope	scope;
	Pending    *pending;
	int			count;

	if (table->pending == NULL)
		return;
	if (SearchSysCacheExists1(RELOID, ObjectIdGetDatum(table->counted)))
	{
		/* The current user at commit may know nothing of chatrel. */
		owner_begin_as(&scope, table->owner);
		/* SPI wants one to be there, though it takes its own. */
		PushActiveSnapshot(GetTransactionSnapshot());

		/*
		 * The session may have SET TRANSACTION READ ONLY since it changed
		 * something.
		 */
		XactReadOnly = false;
		pending = sorted_pending(table, &count);
		if (count > 0)
			write_pending(table, pending, count);
		XactReadOnly = read_only;
		PopActiveSnapshot();
		owner_end(&scope);
	}
	counters_forget(table);
}

void
counters_add(CounterTable *table, Oid counted, int64 id, const int64 *counts)
{
	Pending    *pending;
	bool		found;

	if (table->pending == NULL)
		table->pending = pending_create(TopTransactionContext, 16, NULL);
	/* An extension that was dropped and made anew begins from nothing. */
	else if (table->counted != counted)
		counters_forget(table);
	else if (table->nadded++ >= MAX_PENDING)
		counters_write(table);

	pending = pending_insert(table->pending, id, &found);
	if (!found)
		memset(pending->counts, 0, sizeof(pending->counts));
	for (int i = 0; i < table->ncounts; i++)
		pending->counts[i] += counts[i];
	log_change(table, id, counts);
	table->counted = counted;
	table->owner = GetUserId();
}

void
counters_add_rows(CounterTable *table, Relation counted, Tuplestorestate *rows,
				  const CountedColumn *columns, int ncolumns, int sign)
{
	TupleDesc	tupdesc = RelationGetDescr(counted);
	AttrNumber *attnums;
	TupleTableSlot *slot;

	if (rows == NULL)
		return;
	attnums = palloc_array(AttrNumber, ncolumns);
	for (int i = 0; i < ncolumns; i++)
		attnums[i] = SPI_fnumber(tupdesc, columns[i].name);

	/* Other triggers read the same table: a place in it of our own. */
	slot = MakeSingleTupleTableSlot(tupdesc, &TTSOpsMinimalTuple);
	tuplestore_select_read_pointer(rows, tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND));
	tuplestore_rescan(rows);
	while (tuplestore_gettupleslot(rows, true, false, slot))
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < ncolumns; i++)
		{
			int64		counts[COUNTER_MAX_COUNTS];
			bool		isnull;

			for (int n = 0; n < table->ncounts; n++)
				counts[n] = sign * columns[i].counts[n];
			counters_add(table, RelationGetRelid(counted),
						 DatumGetInt64(slot_getattr(slot, attnums[i], &isnull)), counts);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
}

/* ---------- ends of transactions ---------- */

static void
counters_write_all(void)
{
	for (CounterTable *table = tables; table != NULL; table = table->next)
		counters_write(table);
}

/* The memory goes with the transaction; forget what was in it. */
static void
counters_end_of_transaction(void)
{
	for (CounterTable *table = tables; table != NULL; table = table->next)
	{
		table->pending = NULL;
		table->nadded = 0;
	}
	changes = NULL;
	nchanges = max_changes = 0;
	wrote_private = NULL;
}

static void
counters_xact_callback(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			counters_write_all();
			break;
		case XACT_EVENT_PRE_PREPARE:
			counters_write_all();
			if (wrote_private != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("cannot PREPARE a transaction that has changed %s of its session",
								wrote_private->name)));
			break;
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_ABORT:
		case XACT_EVENT_PREPARE:
			counters_end_of_transaction();
			break;
		default:
			break;
	}
}

/* The changes of a subtransaction become its parent's. */
static void
counters_subcommit(int nest_level)
{
	if (nest_level == 2)
		nchanges = 0;
	for (uint64 i = nchanges; i > 0 && changes[i - 1].nest_level == nest_level; i--)
		changes[i - 1].nest_level--;
}

/* The ids are all there: nothing is taken out of a hash while there are changes. */
static void
counters_subabort(int nest_level)
{
	while (nchanges > 0 && changes[nchanges - 1].nest_level == nest_level)
	{
		const Change *change = &changes[--nchanges];
		Pending    *pending = pending_lookup(change->table->pending, change->id);

		for (int i = 0; i < change->table->ncounts; i++)
			pending->counts[i] -= change->counts[i];
		change->table->counted = change->counted;
	}
}

static void
counters_subxact_callback(SubXactEvent event, SubTransactionId mySubid,
						  SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_COMMIT_SUB)
		counters_subcommit(GetCurrentTransactionNestLevel());
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		counters_subabort(GetCurrentTransactionNestLevel());
}

/* Once for each table, after what may only follow the counters at commit. */
void
counters_init(CounterTable *table)
{
	if (tables == NULL)
	{
		RegisterXactCallback(counters_xact_callback, NULL);
		RegisterSubXactCallback(counters_subxact_callback, NULL);
	}
	table->next = tables;
	tables = table;
}
