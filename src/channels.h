/*
 * channels.h
 *	  Who may hear what: the private channels.
 */
#ifndef CHATREL_CHANNELS_H
#define CHATREL_CHANNELS_H

#include "utils/uuid.h"

/* "chatrel_", a uuid of 36 characters, and the end */
#define CHANNEL_NAME_SIZE	(8 + 36 + 1)

typedef struct UserChannel
{
	int64		user_id;
	pg_uuid_t	channel;
} UserChannel;

extern void channel_name(const pg_uuid_t *channel, char *name);

/*
 * Between owner_begin() and owner_end().  The first four lock the channel
 * against being replaced until the transaction ends.
 */
extern void group_channel(int64 group_id, pg_uuid_t *channel);
extern bool user_channel(int64 user_id, pg_uuid_t *channel);
extern int	user_channels(const int64 *users, int nusers, UserChannel *channels);
extern void group_channel_replace(int64 group_id, pg_uuid_t *old_channel);
extern bool all_channel(pg_uuid_t *channel);

extern void channels_init(void);

#endif							/* CHATREL_CHANNELS_H */
