/*
 * channels.h
 *	  Who may hear what: the private channels.
 */
#ifndef CHATREL_CHANNELS_H
#define CHATREL_CHANNELS_H

#include "utils/uuid.h"

/* "chatrel_", a uuid of 36 characters, and the end */
#define CHANNEL_NAME_SIZE	(8 + 36 + 1)

extern void channel_name(const pg_uuid_t *channel, char *name);

typedef enum ChannelsState
{
	CHANNELS_READY,
	CHANNELS_LOCKED,			/* somebody may be dropping chatrel */
	CHANNELS_GONE
} ChannelsState;

/* All of them, or those that a group's channel is replaced by */
extern bool channels_exist(void);
extern bool group_channels_exist(void);
extern ChannelsState lock_channels_tables(void);
extern bool lock_free_tables(const char *const *names, int count);
extern Oid	channels_owner(void);

/*
 * Between owner_begin() and owner_end().  The first two get the channel that is
 * in use now, and lock it against being replaced until the transaction ends;
 * false if the group or user is gone.  The third replaces it, if there is one.
 */
extern bool group_channel(int64 group_id, pg_uuid_t *channel);
extern bool user_channel(int64 user_id, pg_uuid_t *channel);
extern void user_channel_prepare(int64 user_id);
extern bool group_channel_replace(int64 group_id, pg_uuid_t *old_channel);
extern bool all_channel(pg_uuid_t *channel);
extern void all_channel_make(pg_uuid_t *channel);

extern void channels_init(void);

#endif							/* CHATREL_CHANNELS_H */
