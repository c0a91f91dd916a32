/*
 * link_triggers.h
 *	  The triggers that link a table of the application's.
 */
#ifndef CHATREL_LINK_TRIGGERS_H
#define CHATREL_LINK_TRIGGERS_H

#include "utils/rel.h"

#include "users/link_table.h"

/* What a trigger of the link does. */
typedef enum LinkAction
{
	LINK_INSERT,				/* a row is inserted that is a user */
	LINK_UPDATE,				/* it was a user and still is one, maybe of
								 * another name */
	LINK_RETURN,				/* it was none, and the update makes it one */
	LINK_LEAVE,					/* it was one, and the update makes it none */
	LINK_DELETE,
	LINK_TRUNCATE
} LinkAction;

#define LINK_ACTIONS	(LINK_TRUNCATE + 1)

extern bool link_action(const Trigger *trigger, LinkAction *action);
extern void link_columns(LinkColumns *columns, Relation rel);
extern char *link_condition(Relation rel);
extern const char *linked_name(Relation rel);
extern Datum link_trigger_names(bool conditional);

/* Between owner_begin() and owner_end(). */
extern bool is_linked(void);
extern Oid	require_linked_table(void);
extern void check_not_linked(void);
extern void create_link_triggers(Relation rel, const LinkColumns *columns, Node *condition);
extern void drop_link_triggers(Oid table);
extern void enable_link_triggers(void);

#endif							/* CHATREL_LINK_TRIGGERS_H */
