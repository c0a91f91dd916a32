/*
 * chatrel.c
 *	  Loading of the library: parameters and transaction callbacks.
 *
 * What chatrel does is in the files named after its domains: identity and link
 * (who is calling, and whose users they are), groups, messages, relationships
 * with follow_counters and follow_lists (the follow graph), whiteboards (which
 * stand on nested: a parent and its children as one document); events and
 * channels say what happened and who may hear it, notify and relay deliver it,
 * through the queue; sync catches up.  They stand on plans (SQL
 * through SPI), check (guards and errors), and guc (parameters).
 */
#include "postgres.h"

#include "fmgr.h"

#include "compat.h"
#include "channels.h"
#include "events.h"
#include "guc.h"
#include "relay.h"

PG_MODULE_MAGIC_EXT(.name = "chatrel", .version = CHATREL_VERSION);

void		_PG_init(void);

void
_PG_init(void)
{
	guc_init();
	events_init();
	channels_init();
	relay_init();
}
