/*
 * rows.h
 *	  Single rows that are found, locked and added without a statement.
 */
#ifndef CHATREL_ROWS_H
#define CHATREL_ROWS_H

#include "executor/tuptable.h"
#include "nodes/lockoptions.h"
#include "utils/acl.h"
#include "utils/rel.h"

#include "core/plans.h"

/*
 * Between owner_begin() and owner_end(): what comes between these two has a snapshot
 * of its own, as a statement of PLAN_WRITE or of PLAN_LATEST has it.  An error in
 * between needs no cleaning up.
 */
extern void rows_begin(PlanAccess access);
extern void rows_end(void);

/* A table of chatrel's, locked until the end of the transaction. */
extern Relation rows_open(const char *table, LOCKMODE lockmode, AclMode rights);
extern void rows_close(Relation table);

/* By the primary key, whose columns are bigints and integers; null where there is none. */
extern TupleTableSlot *row_find(Relation table, const int64 *key, int nkeys);

/* Only whether there is one */
extern bool row_exists(const char *table, const int64 *key, int nkeys);

/* True if it is locked, and still as it was found. */
extern bool row_lock(Relation table, TupleTableSlot *row, LockTupleMode mode);

/* A row to add: columns that are not set will have their defaults. */
extern TupleTableSlot *row_new(Relation table);
extern void row_set(TupleTableSlot *row, const char *column, Datum value);

/*
 * What its foreign keys refer to must be locked already, FOR KEY SHARE at least: they are
 * not checked again, unless triggers change them.  These may keep the row out: then it is
 * false.
 */
extern bool row_add(Relation table, TupleTableSlot *row);

/* The same, unless there is a row of the same key by this unique index: then it is false, too. */
extern bool row_add_unless_there(Relation table, TupleTableSlot *row, const char *index);

/* Puts another in the place of one that was found, and that nobody else can change. */
extern void row_replace(Relation table, TupleTableSlot *found, TupleTableSlot *row);

extern Datum row_get(TupleTableSlot *row, const char *column, bool *isnull);
extern bool row_is_null(TupleTableSlot *row, const char *column);
extern bool row_has_text(TupleTableSlot *row, const char *column, const char *value);

/* Those of its columns that a composite type has too, in the same order */
extern HeapTuple row_as(TupleTableSlot *row, TupleDesc tupdesc);
extern void row_drop(TupleTableSlot *row);

/* The next number of a sequence of chatrel's */
extern int64 next_number(const char *sequence);

#endif							/* CHATREL_ROWS_H */
