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
extern void link_columns(LinkColumns *columns, Relation rel, const char *id_column,
						 const char *username_column);
extern int64 link_user_id(const char *id, Relation rel, int attnum);
extern const char *link_username(const char *username, Relation rel, int attnum);
extern void error_other_name(int64 user_id);
extern void link_reader_begin(ReaderScope *scope, Relation rel);
extern void link_reader_end(const ReaderScope *scope);

#endif							/* CHATREL_LINK_TABLE_H */
