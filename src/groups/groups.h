/*
 * groups.h
 *	  Groups as documents.
 */
#ifndef CHATREL_GROUPS_H
#define CHATREL_GROUPS_H

#include "core/plans.h"

/* Between owner_begin() and owner_end(); the document outlives that. */
extern Datum group_document(int64 group_id, int64 user_id, int64 member_limit, PlanAccess access);

#endif							/* CHATREL_GROUPS_H */
