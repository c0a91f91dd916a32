/*
 * link_table.h
 *	  The application's own table of users.
 */
#ifndef CHATREL_LINK_TABLE_H
#define CHATREL_LINK_TABLE_H

#include "utils/rel.h"

#include "core/plans.h"

/* The columns of the application's table that make a user. */
typedef struct LinkColumns
{
	int			id;				/* attribute numbers */
	int			username;
} LinkColumns;

/* Between link_reader_begin() and link_reader_end() */
typedef struct ReaderScope
{
	OwnerScope	owner;
	int			nest_level;
} ReaderScope;

extern char *link_table_name(Relation rel);
extern void find_columns(LinkColumns *columns, Relation rel, const char *id_column,
						 const char *username_column);
extern char *condition_text(Relation rel, Node *condition);
extern char *rows_query(Relation rel, const LinkColumns *columns, const char *condition);

extern int64 tuple_user_id(HeapTuple tuple, Relation rel, const LinkColumns *columns);
extern bool tuple_has_user_id(HeapTuple tuple, Relation rel, const LinkColumns *columns);
extern const char *tuple_username(HeapTuple tuple, Relation rel, const LinkColumns *columns);
extern int64 check_user_id(Datum value, bool isnull, Relation rel, const LinkColumns *columns);
extern void check_username_not_null(const char *username, Relation rel,
									const LinkColumns *columns);
extern void check_username(const char *username);

extern void link_reader_begin(ReaderScope *scope, Relation rel);
extern void link_reader_end(const ReaderScope *scope);

extern void error_other_name(int64 user_id);

#endif							/* CHATREL_LINK_TABLE_H */
