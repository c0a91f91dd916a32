/*
 * counters.h
 *	  Exact counters that nobody waits for: how many rows of a table there are
 *	  for something (how many follow a user).
 *
 * A table of counters has the columns id, slot, and one for each of its counts;
 * the key is (id, slot), and what is counted for an id is the sum of its rows.
 * Whoever counts has a trigger on the counted table that tells counters_add()
 * what a statement changes.
 */
#ifndef CHATREL_COUNTERS_H
#define CHATREL_COUNTERS_H

#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "core/plans.h"

#define COUNTER_MAX_COUNTS	2

/* The slot of the row that is shared by all sessions */
#define COUNTER_SHARED_SLOT	"0"

typedef struct CounterTable
{
	const char *name;			/* in errors: "follow counters" */
	uint16		lock_class;		/* tells its locks from other advisory locks;
								 * 1 and 2 are PostgreSQL's own */
	int			ncounts;

	/* adds to the shared row, if there is one: $1 id, then what to add */
	SqlPlan		add_one;

	/*
	 * The same for the two ids of one counted row, which is what most
	 * transactions change: $1 and $2 the ids, what to add for the one, what
	 * to add for the other; returns the ids that had a row.  No sql where a
	 * row counts for one id.
	 */
	SqlPlan		add_pair;

	/*
	 * adds to rows that may not exist: $1 slot, arrays: $2 ids, then what to
	 * add
	 */
	SqlPlan		add_many;

	/* What the transaction has not written yet: counters.c's own. */
	struct pending_hash *pending;
	uint64		nadded;			/* since it was written last */
	Oid			counted;		/* the table whose rows are counted */
	Oid			owner;
	struct CounterTable *next;
} CounterTable;

extern void counters_init(CounterTable *table);

/* Between owner_begin() and owner_end(). */
extern void counters_add(CounterTable *table, Oid counted, int64 id, const int64 *counts);

/* What each row of the counted table adds for the id that it has in a column. */
typedef struct CountedColumn
{
	const char *name;
	int64		counts[COUNTER_MAX_COUNTS];
} CountedColumn;

/* The rows of a transition table, or none; sign is 1 for those that came, -1 for others. */
extern void counters_add_rows(CounterTable *table, Relation counted, Tuplestorestate *rows,
							  const CountedColumn *columns, int ncolumns, int sign);

/* The counted table has become empty. */
extern void counters_forget(CounterTable *table);

/* What the transaction will add when it ends. */
extern void counters_pending(const CounterTable *table, int64 id, int64 *counts);
extern void counters_all_pending(const CounterTable *table, Datum *arrays);

/* Where this session may always write; the transaction cannot be prepared any more. */
extern int32 counters_private_slot(const CounterTable *table);

#endif							/* CHATREL_COUNTERS_H */
