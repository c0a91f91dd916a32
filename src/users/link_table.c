/*
 * link_table.c
 *	  The application's own table of users: its columns, and the reading of it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"

#include "core/check.h"
#include "core/guc.h"
#include "users/link_table.h"

char *
link_table_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

static int
find_column(TupleDesc tupdesc, const char *table, const char *column)
{
	int			attnum = SPI_fnumber(tupdesc, column);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", column, table),
				 errhint("Name the columns as arguments of chatrel.link_users().")));
	return attnum;
}

void
link_columns(LinkColumns *columns, Relation rel, const char *id_column,
			 const char *username_column)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);
	const char *table = RelationGetRelationName(rel);
	Oid			id_type;
	Oid			username_type;
	char		category;
	bool		preferred;

	columns->id = find_column(tupdesc, table, id_column);
	id_type = getBaseType(SPI_gettypeid(tupdesc, columns->id));
	if (id_type != INT2OID && id_type != INT4OID &&
		id_type != INT8OID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s, but a user id is an integer",
						id_column, table, format_type_be(SPI_gettypeid(tupdesc, columns->id))),
				 errhint("Add a column \"bigint GENERATED ALWAYS AS IDENTITY\" with a unique index, and link by that one.")));

	columns->username = find_column(tupdesc, table, username_column);
	username_type = getBaseType(SPI_gettypeid(tupdesc, columns->username));
	get_type_category_preferred(username_type, &category, &preferred);
	if (category != TYPCATEGORY_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s, but a username is a text",
						username_column, table, format_type_be(username_type))));
}

/* An id as the output function of its integer type writes it. */
int64
link_user_id(const char *id, Relation rel, int attnum)
{
	if (id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the id of a chatrel user must not be null"),
				 errtablecol(rel, attnum)));
	return pg_strtoint64(id);
}

const char *
link_username(const char *username, Relation rel, int attnum)
{
	if (username == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the name of a chatrel user must not be null"),
				 errtablecol(rel, attnum)));
	check_text(username, strlen(username), "username", guc_max_name_length,
			   "chatrel.max_name_length");
	return username;
}

void
error_other_name(int64 user_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("user %lld already exists under another name", (long long) user_id)));
}

/*
 * The table is read with the rights of its own owner: to plan a query may run
 * code that the owner has put in an index, and that must not get ours.  It must
 * be read whole: policies that keep rows even from the owner are an error.
 */
void
link_reader_begin(ReaderScope *scope, Relation rel)
{
	owner_begin_as(&scope->owner, rel->rd_rel->relowner);
	restrict_operation();
	scope->nest_level = NewGUCNestLevel();
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
link_reader_end(const ReaderScope *scope)
{
	AtEOXact_GUC(true, scope->nest_level);
	owner_end(&scope->owner);
}
