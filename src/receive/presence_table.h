/*
 * presence_table.h
 *	  Who is online, and who was typing, in shared memory.
 */
#ifndef CHATREL_PRESENCE_TABLE_H
#define CHATREL_PRESENCE_TABLE_H

#include "storage/latch.h"
#include "utils/timestamp.h"

/* A user, of one database; each CREATE EXTENSION makes a schema, and other users. */
typedef struct PresenceKey
{
	int64		user_id;
	Oid			database;
	Oid			schema;
} PresenceKey;

/* A user who has come or gone, and whose groups have not been told. */
typedef struct PresenceChange
{
	PresenceKey key;
	bool		online;
	int			json_ids;		/* JsonIds: how it is to be told */
} PresenceChange;

typedef struct PresenceStatus
{
	int			online;
	int			room;
	uint64		turned_away;	/* users for whom there was no room, ever */
} PresenceStatus;

extern void presence_table_init(void);

/* False where the library is not preloaded, or presence is switched off. */
extern bool presence_exists(void);
extern PresenceKey presence_key(int64 user_id);

/* A session; true if it is counted, and has to be taken away when it ends. */
extern bool presence_session_begins(const PresenceKey *key);
extern void presence_session_ends(const PresenceKey *key);

/* A gateway; how many of the users there was room for. */
extern int	presence_report(const int64 *user_ids, int count, TimestampTz until);
extern void presence_end_reports(const int64 *user_ids, int count);

extern bool presence_is_online(const PresenceKey *key);
extern void presence_status(PresenceStatus *status);
extern uint64 presence_turned_away(void);

/* Whose turn it is to say that a user is typing: at most once in a while. */
extern bool presence_take_typing_turn(int64 group_id, int64 user_id);

/* The worker of a database: what is to be told there, and has been told. */
extern int	presence_changes(PresenceChange *changes, int most);
extern void presence_told(const PresenceChange *changes, int count, bool more);

/*
 * The watcher: the databases in which something is to be told, how many of them at
 * most, and when to look again, in ms.
 */
extern void presence_attach_watcher(Latch *latch);
extern int	presence_sweep(Oid *databases, int most, long *wait);

#endif							/* CHATREL_PRESENCE_TABLE_H */
