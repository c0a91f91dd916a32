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

/* Between owner_begin() and owner_end(), with both users locked. */
extern bool remove_follow(int64 follower_id, int64 followed_id);
extern void add_accepted_follow(int64 follower_id, int64 followed_id, char *const *names,
								text *follow_type);

#endif							/* CHATREL_RELATIONSHIPS_H */
