/*
 * guc.h
 *	  chatrel's configuration parameters.
 */
#ifndef CHATREL_GUC_H
#define CHATREL_GUC_H

/* name of the parameter that says who is calling; SET on it governs as_user too */
#define USER_ID_PARAMETER "chatrel.user_id"

/* shards have numbers up to this one */
#define MAX_SHARD	32767

/* chatrel.user_id, or 0 when it is not set: user ids are positive */
extern int64 guc_user_id;

/* limits, in characters */
extern int	guc_max_name_length;
extern int	guc_max_message_length;

/* how far unread messages are counted */
extern int	guc_unread_cap;

/* how long a message may be edited, in seconds; 0 for ever */
extern int	guc_edit_window;

/* how ids are written in JSON: the same for all who read it */
typedef enum JsonIds
{
	JSON_IDS_NUMBER,
	JSON_IDS_STRING
} JsonIds;

extern int	guc_json_ids;

/* the relay */
extern bool guc_relay;
extern int	guc_relay_queue_size;	/* kB, for each database */
extern int	guc_relay_databases;
extern int	guc_relay_idle_timeout; /* ms */

/* presence: how many users are kept, and how large the groups are that hear of it */
extern int	guc_presence_users;
extern int	guc_presence_max_members;

/* how long a proxy waits for shards, in milliseconds; 0 for ever */
extern int	guc_proxy_shard_timeout;

extern void guc_init(void);

#endif							/* CHATREL_GUC_H */
