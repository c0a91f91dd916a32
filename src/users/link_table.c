/*
 * link_table.c
 *	  The application's own table of users: its columns, and the reading of it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "core/check.h"
#include "core/errors.h"
#include "core/guc.h"
#include "users/link_table.h"

char *
link_table_name(Relation rel)
{
	return quote_qualified_identifier(get_namespace_name(RelationGetNamespace(rel)),
									  RelationGetRelationName(rel));
}

/* ---------- columns ---------- */

static int
find_column(Relation rel, const char *column)
{
	int			attnum = SPI_fnumber(RelationGetDescr(rel), column);

	if (attnum <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist",
						column, RelationGetRelationName(rel)),
				 errhint("Name the columns as arguments of chatrel.link_users().")));
	return attnum;
}

static Oid
column_type(Relation rel, int attnum)
{
	return getBaseType(SPI_gettypeid(RelationGetDescr(rel), attnum));
}

static bool
is_id_type(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

static void
error_id_type(Relation rel, int attnum)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("column \"%s\" of table \"%s\" is of type %s, but a user id is an integer",
					SPI_fname(tupdesc, attnum), RelationGetRelationName(rel),
					format_type_be(SPI_gettypeid(tupdesc, attnum))),
			 errhint("Add a column \"bigint GENERATED ALWAYS AS IDENTITY\" with a unique index, and link by that one.")));
}

void
find_columns(LinkColumns *columns, Relation rel, const char *id_column,
			 const char *username_column)
{
	const char *table = RelationGetRelationName(rel);
	Oid			username_type;
	char		category;
	bool		preferred;

	columns->id = find_column(rel, id_column);
	if (!is_id_type(column_type(rel, columns->id)))
		error_id_type(rel, columns->id);

	columns->username = find_column(rel, username_column);
	username_type = column_type(rel, columns->username);
	get_type_category_preferred(username_type, &category, &preferred);
	if (category != TYPCATEGORY_STRING)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("column \"%s\" of table \"%s\" is of type %s, but a username is a text",
						username_column, table, format_type_be(username_type))));
}

/* ---------- what a row says ---------- */

int64
check_user_id(Datum value, bool isnull, Relation rel, const LinkColumns *columns)
{
	int64		user_id = isnull ? 0 : DatumGetInt64(value);

	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the id of a chatrel user must not be null"),
				 errtablecol(rel, columns->id)));
	if (user_id <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the id of a chatrel user must be positive, not %lld",
						(long long) user_id),
				 errtablecol(rel, columns->id)));
	return user_id;
}

void
check_username_not_null(const char *username, Relation rel, const LinkColumns *columns)
{
	if (username == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("the name of a chatrel user must not be null"),
				 errtablecol(rel, columns->username)));
}

/* A name that the user has already may be longer: the bound was another one then. */
void
check_username(const char *username)
{
	check_text(username, strlen(username), "username", guc_max_name_length,
			   "chatrel.max_name_length");
}

static Datum
tuple_id(HeapTuple tuple, Relation rel, const LinkColumns *columns, bool *isnull)
{
	Datum		value = SPI_getbinval(tuple, RelationGetDescr(rel), columns->id, isnull);
	Oid			type = column_type(rel, columns->id);

	if (!is_id_type(type))
		error_id_type(rel, columns->id);
	if (*isnull)
		return (Datum) 0;
	if (type == INT2OID)
		return Int64GetDatum(DatumGetInt16(value));
	if (type == INT4OID)
		return Int64GetDatum(DatumGetInt32(value));
	return value;
}

int64
tuple_user_id(HeapTuple tuple, Relation rel, const LinkColumns *columns)
{
	bool		isnull;
	Datum		value = tuple_id(tuple, rel, columns, &isnull);

	return check_user_id(value, isnull, rel, columns);
}

/* A row that came past the triggers may have an id that no user has. */
bool
tuple_has_user_id(HeapTuple tuple, Relation rel, const LinkColumns *columns)
{
	bool		isnull;
	Datum		value = tuple_id(tuple, rel, columns, &isnull);

	return !isnull && DatumGetInt64(value) > 0;
}

const char *
tuple_username(HeapTuple tuple, Relation rel, const LinkColumns *columns)
{
	char	   *username = SPI_getvalue(tuple, RelationGetDescr(rel), columns->username);

	check_username_not_null(username, rel, columns);
	return username;
}

/* ---------- reading ---------- */

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

/* As SQL about the columns of the table, in names as the search_path has them now. */
char *
condition_text(Relation rel, Node *condition)
{
	return deparse_expression(condition,
							  deparse_context_for(RelationGetRelationName(rel),
												  RelationGetRelid(rel)),
							  false, false);
}

/* The users of the table, as bigint and a text; rows of inheritance children are none. */
char *
rows_query(Relation rel, const LinkColumns *columns, const char *condition)
{
	TupleDesc	tupdesc = RelationGetDescr(rel);

	return psprintf("SELECT %s::pg_catalog.int8, %s FROM %s %s WHERE (%s)",
					quote_identifier(SPI_fname(tupdesc, columns->id)),
					quote_identifier(SPI_fname(tupdesc, columns->username)),
					rel->rd_rel->relkind == RELKIND_RELATION ? "ONLY" : "",
					link_table_name(rel), condition != NULL ? condition : "true");
}

/* ---------- errors ---------- */

void
error_other_name(int64 user_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("user %lld already exists under another name", (long long) user_id),
			 err_constraint("users", "users_pkey")));
}
