/*
 * cover.h
 *	  What the index is to be asked for a query.
 */
#ifndef CHATREL_COVER_H
#define CHATREL_COVER_H

#include "nodes/pg_list.h"
#include "tsearch/ts_type.h"

/* The words, of type text *, that a message must have to match a query */
typedef struct Cover
{
	List	   *all;			/* all of these */
	List	   *any;			/* and at least one of these, if there are any */
	bool		exact;			/* it matches if it has them */
} Cover;

extern Cover cover_of(TSQuery query);

#endif							/* CHATREL_COVER_H */
