/*
 * relationships.h
 *	  The follow graph: who follows whom.
 */
#ifndef CHATREL_RELATIONSHIPS_H
#define CHATREL_RELATIONSHIPS_H

#include "fmgr.h"

/* A follow_type goes into a plan as a text: its type is the extension's own. */
#define FOLLOW_TYPE(text) text "::chatrel.follow_type"
extern char *follow_type_label(Datum follow_type);

/* Between owner_begin() and owner_end(), with the user locked. */
extern void remove_all_relationships(int64 user_id);

#endif							/* CHATREL_RELATIONSHIPS_H */
