/*
 * relationships.h
 *	  The follow graph: who follows whom.
 */
#ifndef CHATREL_RELATIONSHIPS_H
#define CHATREL_RELATIONSHIPS_H

#include "fmgr.h"

/* How many bytes a follow_type may have, and what it is by default */
#define MAX_FOLLOW_TYPE		63
#define DEFAULT_FOLLOW_TYPE	"posts"

extern text *require_follow_type(FunctionCallInfo fcinfo, int argno);

/* Between owner_begin() and owner_end(), with the user locked. */
extern void remove_all_relationships(int64 user_id);

#endif							/* CHATREL_RELATIONSHIPS_H */
