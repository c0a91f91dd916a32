/*
 * chatrel.c
 *	  Loading of the library: parameters, hooks and transaction callbacks.
 *
 * What chatrel does is in rooms by domain, each of which uses only those before
 * it (script/check-layers sees to that):
 *
 *	  core/			SQL through SPI, guards, parameters, JSON, who is calling
 *	  delivery/		what a transaction announces, and how it reaches listeners
 *	  groups/		groups, and who is in them
 *	  messages/		messages
 *	  receive/		how a client receives: history, LISTEN, sync
 *	  search/		searching messages, for the extension chatrel_search
 *	  relationships/	the follow graph
 *	  whiteboards/	whiteboards and their stickers, each one document
 *	  users/		the users there are, and the application's table of them
 */
#include "postgres.h"

#include "fmgr.h"

#include "core/compat.h"
#include "core/guc.h"
#include "core/plans.h"
#include "core/version.h"
#include "delivery/channels.h"
#include "delivery/events.h"
#include "delivery/relay.h"
#include "groups/member_counters.h"
#include "receive/presence.h"
#include "relationships/follow_counters.h"

PG_MODULE_MAGIC_EXT(.name = "chatrel",.version = CHATREL_VERSION);

void		_PG_init(void);

void
_PG_init(void)
{
	guc_init();
	version_init();
	plans_init();
	channels_init();
	events_init();
	follow_counters_init();
	member_counters_init();
	relay_init();
	presence_init();
}
