/*
 * nested.c
 *	  Makes the stored children of a parent equal to those in a request.
 *
 * One read, then a comparison in memory, then at most one statement of each
 * kind: an insert, an update, a removal, and the new version of the parent.
 * There are as many statements for ten thousand children as for ten, and rows
 * that stay as they are are not written.
 *
 * The parent is locked before its children are read, so that requests for one
 * parent come one after the other, and each compares with what the one before
 * has left.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"

#include "whiteboards/nested.h"

/* ---------- reading ---------- */

/* Completes the parent, of which shard and id are given; false if there is none. */
bool
nested_lock(NestedAssociation *association, NestedParent *parent)
{
	Datum		values[] = {Int64GetDatum(parent->shard), Int64GetDatum(parent->id)};

	PlanResult	locked;

	nested_prepare(association);
	locked = plan_run(&association->lock, PLAN_WRITE, values, NULL);
	if (locked.nrows == 0)
		return false;
	parent->version = result_int64(&locked, 0, 1);
	parent->created_at = result_int64(&locked, 0, 2);
	parent->updated_at = result_int64(&locked, 0, 3);
	return true;
}

static void
read_fields(const NestedAssociation *association, const PlanResult *found, uint64 row,
			NestedChild *child)
{
	for (int i = 0; i < association->nfields; i++)
	{
		child->values[i] = result_is_null(found, row, 4 + i) ? NULL
			: DatumGetTextPP(result_datum(found, row, 4 + i));
	}
}

/* The stored children in the order of their ids; gone with owner_end(). */
void
nested_read(NestedAssociation *association, const NestedParent *parent,
			PlanAccess access, NestedChildren *children)
{
	Datum		values[] = {Int64GetDatum(parent->shard), Int64GetDatum(parent->id)};

	PlanResult	found;

	nested_prepare(association);
	found = plan_run(&association->read, access, values, NULL);
	children->n = (int) found.nrows;
	children->rows = palloc_array(NestedChild, children->n);
	for (int i = 0; i < children->n; i++)
	{
		NestedChild *child = &children->rows[i];

		child->has_id = true;
		child->id = result_int64(&found, i, 1);
		child->created_at = result_int64(&found, i, 2);
		child->updated_at = result_int64(&found, i, 3);
		child->match = NULL;
		read_fields(association, &found, i, child);
	}
}

/* ---------- comparing ---------- */

static void
match(NestedChild *stored, NestedChild *wanted)
{
	stored->match = wanted;
	wanted->match = stored;
}

/* Both sides are in the order of the ids. */
static void
match_by_id(NestedChildren *stored, NestedParams *params)
{
	int			next = 0;

	for (int i = 0; i < stored->n; i++)
	{
		NestedChild *child = &stored->rows[i];

		while (next < params->nnamed && params->named[next]->id < child->id)
			next++;
		if (next < params->nnamed && params->named[next]->id == child->id)
			match(child, params->named[next]);
	}
}

/* Under "update" the one that is stored is the one in params, whatever its id. */
static void
match_children(NestedChildren *stored, NestedParams *params)
{
	if (params->on_replace == ON_REPLACE_UPDATE && stored->n == 1 && params->children.n == 1)
		match(&stored->rows[0], &params->children.rows[0]);
	else
		match_by_id(stored, params);
}

static bool
values_differ(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return a != b;
	return VARSIZE_ANY_EXHDR(a) != VARSIZE_ANY_EXHDR(b) ||
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) != 0;
}

static bool
children_differ(const NestedAssociation *association, const NestedChild *a,
				const NestedChild *b)
{
	for (int i = 0; i < association->nfields; i++)
		if (values_differ(a->values[i], b->values[i]))
			return true;
	return false;
}

/* Stored children that are not named are faults, unless on_replace takes them away. */
static void
check_all_named(const NestedAssociation *association, const NestedChildren *stored,
				NestedParams *params)
{
	if (params->on_replace == ON_REPLACE_NILIFY || params->on_replace == ON_REPLACE_DELETE)
		return;
	for (int i = 0; i < stored->n && !nested_faults_full(params); i++)
		if (stored->rows[i].match == NULL)
			nested_fault(params, ERRCODE_INVALID_PARAMETER_VALUE,
						 NESTED_PARENT, association->name,
						 psprintf("must name %lld, which is stored",
								  (long long) stored->rows[i].id),
						 "Name every stored one, or let on_replace say what becomes of the others: mark_as_invalid, nilify or delete.");
}

/* ---------- writing ---------- */

typedef struct Batch
{
	int			n;
	NestedChild **rows;
} Batch;

static void
batch_init(Batch *batch, int max_rows)
{
	batch->n = 0;
	batch->rows = palloc_array(NestedChild *, max_rows);
}

static void
batch_ids(const Batch *batch, NestedIds *ids)
{
	ids->n = batch->n;
	ids->ids = palloc_array(int64, batch->n);
	for (int i = 0; i < batch->n; i++)
		ids->ids[i] = batch->rows[i]->id;
}

/* One field of the rows of a batch. */
static Datum
value_array(const Batch *batch, int field)
{
	Datum	   *elements = palloc_array(Datum, batch->n);
	bool	   *nulls = palloc_array(bool, batch->n);
	int			lower_bound = 1;

	for (int i = 0; i < batch->n; i++)
	{
		elements[i] = PointerGetDatum(batch->rows[i]->values[field]);
		nulls[i] = batch->rows[i]->values[field] == NULL;
	}
	return PointerGetDatum(construct_md_array(elements, nulls, 1, (int *) &batch->n,
											  &lower_bound, TEXTOID, -1, false,
											  TYPALIGN_INT));
}

/* Runs a statement that must write every row of the batch. */
static PlanResult
write_batch(SqlPlan *plan, const NestedParent *parent, const NestedIds *ids,
			const Batch *fields, int nfields)
{
	Datum		values[PLAN_MAX_ARGS];
	int			nvalues = 0;
	int			expected = ids != NULL ? ids->n : fields->n;
	PlanResult	written = {0};

	if (expected == 0)
		return written;
	values[nvalues++] = Int64GetDatum(parent->shard);
	values[nvalues++] = Int64GetDatum(parent->id);
	if (ids != NULL)
		values[nvalues++] = int64_array(ids->ids, ids->n);
	for (int i = 0; i < nfields; i++)
		values[nvalues++] = value_array(fields, i);

	/* Only who writes the tables without asking us gets in between. */
	written = plan_run(plan, PLAN_WRITE, values, NULL);
	if (written.nrows != expected)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to a concurrent change")));
	return written;
}

/* What params have and the table does not, in the order of params. */
static void
insert_children(NestedAssociation *association, const NestedParent *parent,
				NestedParams *params, Batch *batch)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	PlanResult	inserted;

	batch_init(batch, params->children.n);
	for (int i = 0; i < params->children.n; i++)
		if (params->children.rows[i].match == NULL)
			batch->rows[batch->n++] = &params->children.rows[i];

	inserted = write_batch(&association->insert, parent, NULL, batch, association->nfields);
	for (int i = 0; i < batch->n; i++)
	{
		batch->rows[i]->id = result_int64(&inserted, i, 1);
		batch->rows[i]->created_at = batch->rows[i]->updated_at = now;
	}
}

/* What both have, and have differently, in the order of the ids. */
static void
update_children(NestedAssociation *association, const NestedParent *parent,
				NestedChildren *stored, NestedIds *updated)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	Batch		batch;

	batch_init(&batch, stored->n);
	for (int i = 0; i < stored->n; i++)
	{
		NestedChild *child = &stored->rows[i];

		if (child->match == NULL || !children_differ(association, child, child->match))
			continue;
		memcpy(child->values, child->match->values, sizeof(child->values));
		child->updated_at = now;
		batch.rows[batch.n++] = child;
	}
	batch_ids(&batch, updated);
	write_batch(&association->update, parent, updated, &batch, association->nfields);
}

/* What the table has and params do not. */
static void
remove_children(NestedAssociation *association, const NestedParent *parent,
				NestedChildren *stored, OnReplace on_replace, NestedIds *removed)
{
	Batch		batch;

	batch_init(&batch, stored->n);
	for (int i = 0; i < stored->n; i++)
		if (stored->rows[i].match == NULL)
			batch.rows[batch.n++] = &stored->rows[i];
	batch_ids(&batch, removed);
	write_batch(on_replace == ON_REPLACE_NILIFY ? &association->nilify : &association->delete,
				parent, removed, NULL, 0);
}

static int
compare_children(const void *a, const void *b)
{
	int64		left = ((const NestedChild *) a)->id;
	int64		right = ((const NestedChild *) b)->id;

	return (left > right) - (left < right);
}

/* The children that there are now, in the order of their ids. */
static void
collect_children(const NestedChildren *stored, const Batch *inserted, NestedChildren *children)
{
	children->n = 0;
	children->rows = palloc_array(NestedChild, stored->n + inserted->n);
	for (int i = 0; i < stored->n; i++)
		if (stored->rows[i].match != NULL)
			children->rows[children->n++] = stored->rows[i];
	for (int i = 0; i < inserted->n; i++)
		children->rows[children->n++] = *inserted->rows[i];
	qsort(children->rows, children->n, sizeof(NestedChild), compare_children);
}

static void
touch_parent(NestedAssociation *association, NestedParent *parent)
{
	Datum		values[] = {Int64GetDatum(parent->shard), Int64GetDatum(parent->id)};

	plan_run(&association->touch, PLAN_WRITE, values, NULL);
	parent->version++;
	parent->updated_at = GetCurrentTransactionStartTimestamp();
}

/*
 * Makes the children of a locked parent those of params; false, and nothing is
 * written, if params have faults.  The parent gets a new version if anything
 * was changed.
 */
bool
nested_change(NestedAssociation *association, NestedParent *parent,
			  NestedParams *params, NestedChange *change)
{
	NestedChildren stored;
	Batch		inserted;

	nested_read(association, parent, PLAN_WRITE, &stored);
	match_children(&stored, params);
	if (params->ids_known)
		check_all_named(association, &stored, params);
	if (params->nfaults > 0)
		return false;

	/* A has_one makes room before it fills it. */
	remove_children(association, parent, &stored, params->on_replace, &change->removed);
	update_children(association, parent, &stored, &change->updated);
	insert_children(association, parent, params, &inserted);
	batch_ids(&inserted, &change->inserted);
	if (change->removed.n + change->updated.n + change->inserted.n > 0)
		touch_parent(association, parent);
	collect_children(&stored, &inserted, &change->children);
	return true;
}
