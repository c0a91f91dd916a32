/*
 * member_counters.h
 *	  How many members a group has.
 */
#ifndef CHATREL_MEMBER_COUNTERS_H
#define CHATREL_MEMBER_COUNTERS_H

#include "core/plans.h"

/*
 * In a plan: how many members a group has, with what uncommitted_members() gives, as
 * two parameters.
 */
#define MEMBER_COUNT(group_id, groups, members) \
	"(SELECT COALESCE(pg_catalog.sum(c.members), 0)::pg_catalog.int8 FROM" \
	" (SELECT group_id, members FROM chatrel.groups_counters UNION ALL SELECT *" \
	" FROM ROWS FROM (pg_catalog.unnest(" groups "), pg_catalog.unnest(" members ")) pending) c" \
	" WHERE c.group_id" EQ group_id ")"

/* Between owner_begin() and owner_end(). */
extern int64 count_members(int64 group_id);

/* Groups, and what this transaction adds to their counts without having written it yet */
extern void uncommitted_members(Datum *arrays);

extern void member_counters_forget(int64 group_id);

extern void member_counters_init(void);

#endif							/* CHATREL_MEMBER_COUNTERS_H */
