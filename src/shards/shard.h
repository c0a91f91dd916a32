/*
 * shard.h
 *	  Which of several databases this is.
 */
#ifndef CHATREL_SHARD_H
#define CHATREL_SHARD_H

#include "core/compat.h"

/* Between owner_begin() and owner_end(). */
extern int64 shard_number(void);

#endif							/* CHATREL_SHARD_H */
