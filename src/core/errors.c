/*
 * errors.c
 *	  What an error says to programs, beside its SQLSTATE.
 */
#include "postgres.h"

#include "core/errors.h"

/* SCHEMA NAME and TABLE NAME: a table of chatrel's */
int
err_table(const char *table)
{
	err_generic_string(PG_DIAG_SCHEMA_NAME, "chatrel");
	err_generic_string(PG_DIAG_TABLE_NAME, table);
	return 0;
}

/* The same, and CONSTRAINT NAME */
int
err_constraint(const char *table, const char *constraint)
{
	err_table(table);
	err_generic_string(PG_DIAG_CONSTRAINT_NAME, constraint);
	return 0;
}

/* The table, and COLUMN NAME: what in the table is in the way */
int
err_column(const char *table, const char *column)
{
	err_table(table);
	err_generic_string(PG_DIAG_COLUMN_NAME, column);
	return 0;
}
