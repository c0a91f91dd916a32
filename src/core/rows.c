/*
 * rows.c
 *	  Single rows that are found, locked and added without a statement.
 *
 * PostgreSQL plans a statement once, but sets it up anew for each run: for a few rows
 * that takes several times as long as what is then done with them.  What is called so
 * often that it matters, as a send, does without.  Rows are locked as by SELECT ... FOR,
 * and added as by INSERT: with triggers, constraints and indexes, much as a subscriber
 * of logical replication applies what it receives.  Columns have no defaults here.
 *
 * A row that somebody has changed since it was found is not looked at again: whoever
 * meets one does it by a statement.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "core/compat.h"
#include "core/rows.h"

#define MAX_KEYS	2

void
rows_begin(void)
{
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
}

void
rows_end(void)
{
	PopActiveSnapshot();
	CommandCounterIncrement();
}

/* ---------- tables ---------- */

static Oid
relation_of_chatrel(const char *name)
{
	return get_relname_relid(name, get_namespace_oid("chatrel", false));
}

Relation
rows_open(const char *table, LOCKMODE lockmode, AclMode rights)
{
	Relation	rel = table_open(relation_of_chatrel(table), lockmode);
	AclResult	result = pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), rights);

	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_TABLE, table);
	return rel;
}

void
rows_close(Relation table)
{
	table_close(table, NoLock);
}

int64
next_number(const char *sequence)
{
	return nextval_internal(relation_of_chatrel(sequence), false);
}

/* ---------- finding and locking ---------- */

TupleTableSlot *
row_find(Relation table, const int64 *key, int nkeys)
{
	Relation	index = index_open(RelationGetPrimaryKeyIndex(table, false), AccessShareLock);
	TupleTableSlot *row = table_slot_create(table, NULL);
	IndexScanDesc scan = index_beginscan(table, index, GetActiveSnapshot(), NULL, nkeys, 0, 0);
	ScanKeyData keys[MAX_KEYS];
	bool		found;

	Assert(nkeys <= MAX_KEYS);
	for (int i = 0; i < nkeys; i++)
		ScanKeyInit(&keys[i], i + 1, BTEqualStrategyNumber, F_INT8EQ, Int64GetDatum(key[i]));
	index_rescan(scan, keys, nkeys, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, row);
	index_endscan(scan);
	index_close(index, NoLock);
	if (found)
		return row;
	row_drop(row);
	return NULL;
}

bool
row_lock(Relation table, TupleTableSlot *row, LockTupleMode mode)
{
	ItemPointerData tid = row->tts_tid;
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(table, &tid, GetActiveSnapshot(), row,
										  GetCurrentCommandId(true), mode, LockWaitBlock,
										  TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS, &failure);

	if (result == TM_Ok)
		return true;
	if (IsolationUsesXactSnapshot() && (result == TM_Updated || result == TM_Deleted))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent %s",
						result == TM_Updated ? "update" : "delete")));
	return false;
}

/* ---------- adding ---------- */

TupleTableSlot *
row_new(Relation table)
{
	TupleTableSlot *row = table_slot_create(table, NULL);

	memset(row->tts_isnull, true, row->tts_tupleDescriptor->natts * sizeof(bool));
	return row;
}

/* As ExecInsert() does, for a table that is neither a partition nor has generated columns */
static void
insert_row(ResultRelInfo *result, EState *estate, TupleTableSlot *row)
{
	Relation	table = result->ri_RelationDesc;
	TransitionCaptureState *capture = MakeTransitionCaptureState(table->trigdesc,
																 RelationGetRelid(table),
																 CMD_INSERT);

	ExecBSInsertTriggers(estate, result);
	if (result->ri_TrigDesc == NULL || !result->ri_TrigDesc->trig_insert_before_row ||
		ExecBRInsertTriggers(estate, result, row))
	{
		List	   *recheck;

		ExecConstraints(result, row, estate);
		table_tuple_insert(table, row, estate->es_output_cid, 0, NULL);
		recheck = ExecInsertIndexTuples(result, estate, 0, row, NIL, NULL);
		ExecARInsertTriggers(estate, result, row, recheck, capture);
	}
	ExecASInsertTriggers(estate, result, capture);
}

bool
row_add(Relation table, TupleTableSlot *row)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);

	ExecStoreVirtualTuple(row);
	ItemPointerSetInvalid(&row->tts_tid);
	InitResultRelInfo(result, table, 0, NULL, 0);
	ExecOpenIndices(result, false);
	estate->es_output_cid = GetCurrentCommandId(true);
	AfterTriggerBeginQuery();
	insert_row(result, estate, row);
	AfterTriggerEndQuery(estate);
	ExecCloseIndices(result);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
	return ItemPointerIsValid(&row->tts_tid);
}

/* ---------- columns ---------- */

static int
column_index(const TupleTableSlot *row, const char *column)
{
	TupleDesc	tupdesc = row->tts_tupleDescriptor;

	for (int i = 0; i < tupdesc->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(tupdesc, i)->attname), column) == 0)
			return i;
	elog(ERROR, "there is no column \"%s\"", column);
}

void
row_set(TupleTableSlot *row, const char *column, Datum value)
{
	int			i = column_index(row, column);

	row->tts_values[i] = value;
	row->tts_isnull[i] = false;
}

Datum
row_get(TupleTableSlot *row, const char *column, bool *isnull)
{
	return slot_getattr(row, column_index(row, column) + 1, isnull);
}

bool
row_is_null(TupleTableSlot *row, const char *column)
{
	return slot_attisnull(row, column_index(row, column) + 1);
}

bool
row_has_text(TupleTableSlot *row, const char *column, const char *value)
{
	bool		isnull;
	Datum		datum = row_get(row, column, &isnull);
	Size		length = strlen(value);

	return !isnull && VARSIZE_ANY_EXHDR(DatumGetPointer(datum)) == length &&
		memcmp(VARDATA_ANY(DatumGetPointer(datum)), value, length) == 0;
}

HeapTuple
row_as(TupleTableSlot *row, TupleDesc tupdesc)
{
	Datum	   *values = palloc_array(Datum, tupdesc->natts);
	bool	   *nulls = palloc_array(bool, tupdesc->natts);
	int			column = 0;

	slot_getallattrs(row);
	for (int i = 0; i < tupdesc->natts; i++, column++)
	{
		const char *name = NameStr(TupleDescAttr(tupdesc, i)->attname);

		while (column < row->tts_tupleDescriptor->natts &&
			   strcmp(NameStr(TupleDescAttr(row->tts_tupleDescriptor, column)->attname), name) != 0)
			column++;
		if (column == row->tts_tupleDescriptor->natts)
			elog(ERROR, "there is no column \"%s\" in its place", name);
		values[i] = row->tts_values[column];
		nulls[i] = row->tts_isnull[column];
	}
	return heap_form_tuple(tupdesc, values, nulls);
}

void
row_drop(TupleTableSlot *row)
{
	ExecDropSingleTupleTableSlot(row);
}
