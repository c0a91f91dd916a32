/*
 * member_counters.h
 *	  How many members a group has.
 */
#ifndef CHATREL_MEMBER_COUNTERS_H
#define CHATREL_MEMBER_COUNTERS_H

#include "core/plans.h"

/* Between owner_begin() and owner_end(). */
extern int64 count_members(int64 group_id);

/* Groups, and what this transaction adds to their counts without having written it yet */
extern void uncommitted_members(Datum *arrays);

extern void member_counters_forget(int64 group_id);

extern void member_counters_init(void);

#endif							/* CHATREL_MEMBER_COUNTERS_H */
