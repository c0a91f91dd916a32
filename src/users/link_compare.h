/*
 * link_compare.h
 *	  The users of the linked table beside those of chatrel.
 */
#ifndef CHATREL_LINK_COMPARE_H
#define CHATREL_LINK_COMPARE_H

#include "users/link_table.h"

/* A difference: the columns of a row that the comparison gives, from 1 on. */
#define DRIFT_USER_ID		1
#define DRIFT_PROBLEM		2	/* missing, surplus, renamed or invalid */
#define DRIFT_USERNAME		3	/* in chatrel.users */
#define DRIFT_LINKED_NAME	4	/* in the table */
#define DRIFT_COLUMNS		4

/* Takes some differences; runs with the owner's rights. */
typedef void (*DriftHandler) (const PlanResult *drift, void *arg);

typedef struct LinkComparison
{
	Relation	rel;
	LinkColumns columns;
	const char *condition;		/* null if every row is a user */
	bool		strict;			/* a row that makes no user is an error */
	DriftHandler handler;
	void	   *arg;
} LinkComparison;

extern uint64 link_compare(FunctionCallInfo fcinfo, const LinkComparison *comparison);

/* What a handler may do. */
extern void check_new_names(const PlanResult *drift);
extern void add_missing(const PlanResult *drift);
extern void rename_drifted(const PlanResult *drift);
extern bool drift_is(const PlanResult *drift, uint64 row, const char *problem);

#endif							/* CHATREL_LINK_COMPARE_H */
