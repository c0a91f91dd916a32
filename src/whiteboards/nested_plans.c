/*
 * nested_plans.c
 *	  The statements of an association.
 *
 * They are made once, from the names in the description and from nothing else;
 * descriptions are constant.  $1 is the shard key, $2 the parent; then come
 * arrays, with an element for each child: ids, and the fields.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "whiteboards/nested.h"

static const char *
name_of(const char *identifier)
{
	return quote_identifier(identifier);
}

/* ", url, title", or with a prefix. */
static void
append_fields(StringInfo sql, const NestedAssociation *association, const char *prefix)
{
	for (int i = 0; i < association->nfields; i++)
		appendStringInfo(sql, ", %s%s", prefix, name_of(association->fields[i].name));
}

/* "ROWS FROM (unnest($3), unnest($4))" */
static void
append_arrays(StringInfo sql, int narrays)
{
	appendStringInfoString(sql, "ROWS FROM (");
	for (int i = 0; i < narrays; i++)
		appendStringInfo(sql, "%spg_catalog.unnest($%d)", i == 0 ? "" : ", ", i + 3);
	appendStringInfoChar(sql, ')');
}

static void
append_children_of_parent(StringInfo sql, const NestedAssociation *association)
{
	appendStringInfo(sql, " WHERE c.%s" EQ "$1", name_of(association->shard_key));
	appendStringInfo(sql, " AND c.%s" EQ "$2", name_of(association->foreign_key));
}

/* The text becomes a plan's, whose further arguments are arrays of ids and of texts. */
static void
set_plan(SqlPlan *plan, StringInfo sql, int expected, int id_arrays, int text_arrays)
{
	plan->sql = MemoryContextStrdup(TopMemoryContext, sql->data);
	plan->expected = expected;
	plan->nargs = 2 + id_arrays + text_arrays;
	for (int i = 0; i < plan->nargs; i++)
		plan->argtypes[i] = i < 2 ? INT8OID
			: i < 2 + id_arrays ? INT8ARRAYOID : TEXTARRAYOID;
	resetStringInfo(sql);
}

static void
make_parent_plans(NestedAssociation *association, StringInfo sql)
{
	const char *parent = name_of(association->parent);
	const char *shard_key = name_of(association->shard_key);

	appendStringInfo(sql, "SELECT version, created_at, updated_at FROM chatrel.%s"
					 " WHERE %s" EQ "$1 AND id" EQ "$2 FOR NO KEY UPDATE",
					 parent, shard_key);
	set_plan(&association->lock, sql, SPI_OK_SELECT, 0, 0);

	appendStringInfo(sql, "UPDATE chatrel.%s"
					 " SET version = version OPERATOR(pg_catalog.+) 1,"
					 " updated_at = pg_catalog.now()"
					 " WHERE %s" EQ "$1 AND id" EQ "$2",
					 parent, shard_key);
	set_plan(&association->touch, sql, SPI_OK_UPDATE, 0, 0);
}

/* RETURNING gives the ids in the order of the arrays. */
static void
make_insert_plan(NestedAssociation *association, StringInfo sql)
{
	appendStringInfo(sql, "INSERT INTO chatrel.%s (%s, %s",
					 name_of(association->child), name_of(association->shard_key),
					 name_of(association->foreign_key));
	append_fields(sql, association, "");
	appendStringInfoString(sql, ") SELECT $1, $2");
	append_fields(sql, association, "p.");
	appendStringInfoString(sql, " FROM ");
	append_arrays(sql, association->nfields);
	appendStringInfoString(sql, " WITH ORDINALITY AS p (");
	for (int i = 0; i < association->nfields; i++)
		appendStringInfo(sql, "%s, ", name_of(association->fields[i].name));
	appendStringInfoString(sql, "ordinality) ORDER BY p.ordinality RETURNING id");
	set_plan(&association->insert, sql, SPI_OK_INSERT_RETURNING, 0, association->nfields);
}

static void
make_update_plan(NestedAssociation *association, StringInfo sql)
{
	appendStringInfo(sql, "UPDATE chatrel.%s AS c SET updated_at = pg_catalog.now()",
					 name_of(association->child));
	for (int i = 0; i < association->nfields; i++)
	{
		const char *field = name_of(association->fields[i].name);

		appendStringInfo(sql, ", %s = p.%s", field, field);
	}
	appendStringInfoString(sql, " FROM ");
	append_arrays(sql, 1 + association->nfields);
	appendStringInfoString(sql, " AS p (id");
	append_fields(sql, association, "");
	appendStringInfoChar(sql, ')');
	append_children_of_parent(sql, association);
	appendStringInfoString(sql, " AND c.id" EQ "p.id");
	set_plan(&association->update, sql, SPI_OK_UPDATE, 1, association->nfields);
}

static void
make_removal_plans(NestedAssociation *association, StringInfo sql)
{
	const char *child = name_of(association->child);

	appendStringInfo(sql, "UPDATE chatrel.%s AS c SET %s = NULL,"
					 " updated_at = pg_catalog.now()",
					 child, name_of(association->foreign_key));
	append_children_of_parent(sql, association);
	appendStringInfoString(sql, " AND c.id" EQ "ANY ($3)");
	set_plan(&association->nilify, sql, SPI_OK_UPDATE, 1, 0);

	appendStringInfo(sql, "DELETE FROM chatrel.%s AS c", child);
	append_children_of_parent(sql, association);
	appendStringInfoString(sql, " AND c.id" EQ "ANY ($3)");
	set_plan(&association->delete, sql, SPI_OK_DELETE, 1, 0);
}

static void
make_read_plan(NestedAssociation *association, StringInfo sql)
{
	appendStringInfoString(sql, "SELECT c.id, c.created_at, c.updated_at");
	append_fields(sql, association, "c.");
	appendStringInfo(sql, " FROM chatrel.%s AS c", name_of(association->child));
	append_children_of_parent(sql, association);
	appendStringInfoString(sql, " ORDER BY c.id");
	set_plan(&association->read, sql, SPI_OK_SELECT, 0, 0);
}

void
nested_prepare(NestedAssociation *association)
{
	StringInfoData sql;

	if (association->read.sql != NULL)
		return;
	initStringInfo(&sql);
	make_parent_plans(association, &sql);
	make_insert_plan(association, &sql);
	make_update_plan(association, &sql);
	make_removal_plans(association, &sql);
	/* last, as it says that all are there */
	make_read_plan(association, &sql);
	pfree(sql.data);
}
