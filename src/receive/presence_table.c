/*
 * presence_table.c
 *	  Who is online, and who was typing, in shared memory.
 *
 * A user is online while a session listens for it, or a gateway's report of it is
 * in force; a report ends by itself.  That is kept for each user, together with
 * what the user's groups were last told: where the two differ, there is something
 * to tell (presence_announce.c), and the watcher sees to it that it is told
 * (presence_watcher.c).  What could not be told in GIVE_UP_MS is not news any more.
 *
 * It is told in the form of ids that the session has which has said so last: the
 * worker may have connected before the database's setting was changed.
 *
 * The table has room for so many users as chatrel.presence_users says.  It never
 * grows, so that nothing can fail when a transaction commits or a session ends: who
 * finds no room is counted, and is not online.  Nothing is written to disk; after a
 * crash nobody is connected.
 *
 * The locks, one of the users and one of who types, are held for a look at the table
 * or a part of it, and nothing else is locked meanwhile.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "core/guc.h"
#include "receive/presence_table.h"

#define TRANCHE_NAME "chatrel presence"

/* What nobody could be told for so long is taken for told. */
#define GIVE_UP_MS			60000

/* After so long the watcher asks again for a worker that has not told. */
#define ASK_AGAIN_MS		5000

/* The lock is given away after so many users of a report. */
#define REPORT_CHUNK		1000

/* Where all is taken, users whose reports have ended are looked for so often. */
#define SEARCH_EVERY_MS		100

/* So often may a user say that it is typing in a group. */
#define TYPING_MS			3000
#define TYPING_WAYS			4

#define NOBODY				(-1)

typedef struct PresenceUser
{
	PresenceKey key;
	int			next;			/* in its bucket, or in the list of free ones */
	bool		used;
	bool		announced;		/* was the last that was told "online"? */
	int			sessions;		/* that listen for the user */
	int			json_ids;
	TimestampTz reported_until; /* or when it went offline */
	TimestampTz online_since;
} PresenceUser;

typedef struct PresenceShared
{
	int			room;
	int			free;			/* the first place that is */
	int			ever_used;		/* all behind these places are free */
	uint64		turned_away;
	Latch	   *watcher;
	TimestampTz wakes_at;		/* when the watcher looks again by itself */
	TimestampTz searched_at;	/* for users who have gone; 0 if there may be
								 * one */
	PresenceUser users[FLEXIBLE_ARRAY_MEMBER];	/* and the buckets */
} PresenceShared;

/* The last time that a user was typing in a group. */
typedef struct TypingPlace
{
	PresenceKey key;
	int64		group_id;
	TimestampTz at;
} TypingPlace;

static PresenceShared *presence = NULL;
static int *presence_buckets = NULL;
static TypingPlace *typing_places = NULL;
static LWLockPadded *presence_locks = NULL;

#define USERS_LOCK	(&presence_locks[0].lock)
#define TYPING_LOCK (&presence_locks[1].lock)

static shmem_request_hook_type prev_shmem_request_hook = NULL;
static shmem_startup_hook_type prev_shmem_startup_hook = NULL;

/* ---------- shared memory ---------- */

static Size
users_size(void)
{
	return MAXALIGN(add_size(offsetof(PresenceShared, users),
							 mul_size(guc_presence_users, sizeof(PresenceUser))));
}

static Size
table_size(void)
{
	return add_size(users_size(), mul_size(guc_presence_users, sizeof(int)));
}

static int
typing_buckets(void)
{
	return guc_presence_users / TYPING_WAYS + 1;
}

static Size
typing_size(void)
{
	return mul_size(mul_size(typing_buckets(), TYPING_WAYS), sizeof(TypingPlace));
}

static void
presence_shmem_request(void)
{
	if (prev_shmem_request_hook)
		prev_shmem_request_hook();
	RequestAddinShmemSpace(add_size(MAXALIGN(table_size()), MAXALIGN(typing_size())));
	RequestNamedLWLockTranche(TRANCHE_NAME, 2);
}

static void
make_empty(void)
{
	memset(presence, 0, table_size());
	presence->room = guc_presence_users;
	presence->wakes_at = DT_NOEND;
	for (int i = 0; i < presence->room; i++)
	{
		presence->users[i].next = i + 1 < presence->room ? i + 1 : NOBODY;
		presence_buckets[i] = NOBODY;
	}
}

static void
presence_shmem_startup(void)
{
	bool		found;

	if (prev_shmem_startup_hook)
		prev_shmem_startup_hook();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	presence = ShmemInitStruct("chatrel presence", table_size(), &found);
	presence_buckets = (int *) ((char *) presence + users_size());
	if (!found)
		make_empty();
	typing_places = ShmemInitStruct("chatrel typing", typing_size(), &found);
	if (!found)
		memset(typing_places, 0, typing_size());
	presence_locks = GetNamedLWLockTranche(TRANCHE_NAME);
	LWLockRelease(AddinShmemInitLock);
}

void
presence_table_init(void)
{
	prev_shmem_request_hook = shmem_request_hook;
	shmem_request_hook = presence_shmem_request;
	prev_shmem_startup_hook = shmem_startup_hook;
	shmem_startup_hook = presence_shmem_startup;
}

bool
presence_exists(void)
{
	return presence != NULL;
}

PresenceKey
presence_key(int64 user_id)
{
	PresenceKey key = {user_id, MyDatabaseId, get_namespace_oid("chatrel", true)};

	return key;
}

/* ---------- the table, under its lock ---------- */

static bool
same_key(const PresenceKey *a, const PresenceKey *b)
{
	return a->user_id == b->user_id && a->database == b->database && a->schema == b->schema;
}

static int *
bucket_of(const PresenceKey *key)
{
	uint32		hash = hash_bytes((const unsigned char *) key, sizeof(*key));

	return &presence_buckets[hash % presence->room];
}

static PresenceUser *
find_user(const PresenceKey *key)
{
	for (int i = *bucket_of(key); i != NOBODY; i = presence->users[i].next)
		if (same_key(&presence->users[i].key, key))
			return &presence->users[i];
	return NULL;
}

static void
remove_user(PresenceUser *user)
{
	int			number = user - presence->users;
	int		   *link = bucket_of(&user->key);

	while (*link != number)
		link = &presence->users[*link].next;
	*link = user->next;
	memset(user, 0, sizeof(*user));
	user->next = presence->free;
	presence->free = number;
}

static bool
user_is_online(const PresenceUser *user, TimestampTz now)
{
	return user->sessions > 0 || user->reported_until > now;
}

/* Makes room where all is taken: of those who have gone nobody will be told. */
static void
remove_offline_users(TimestampTz now)
{
	if (!TimestampDifferenceExceeds(presence->searched_at, now, SEARCH_EVERY_MS))
		return;
	presence->searched_at = now;
	for (int i = 0; i < presence->ever_used; i++)
		if (presence->users[i].used && !user_is_online(&presence->users[i], now))
			remove_user(&presence->users[i]);
}

/* Null, and counted, if there is no room. */
static PresenceUser *
find_or_add_user(const PresenceKey *key, TimestampTz now)
{
	PresenceUser *user = find_user(key);
	int		   *bucket = bucket_of(key);

	if (user != NULL)
		return user;
	if (presence->free == NOBODY)
		remove_offline_users(now);
	if (presence->free == NOBODY)
	{
		presence->turned_away++;
		return NULL;
	}
	user = &presence->users[presence->free];
	presence->free = user->next;
	user->key = *key;
	user->used = true;
	user->next = *bucket;
	*bucket = user - presence->users;
	presence->ever_used = Max(presence->ever_used, *bucket + 1);
	return user;
}

/* ---------- coming and going ---------- */

static void
wake(Latch *latch)
{
	if (latch != NULL)
		SetLatch(latch);
}

/* Cannot fail. */
bool
presence_session_begins(const PresenceKey *key)
{
	TimestampTz now = GetCurrentTimestamp();
	PresenceUser *user;
	Latch	   *latch = NULL;

	LWLockAcquire(USERS_LOCK, LW_EXCLUSIVE);
	user = find_or_add_user(key, now);
	if (user == NULL || !user_is_online(user, now))
		latch = presence->watcher;
	if (user != NULL)
	{
		user->json_ids = guc_json_ids;
		if (user->sessions++ == 0 && user->reported_until <= now)
			user->online_since = now;
	}
	LWLockRelease(USERS_LOCK);
	wake(latch);
	return user != NULL;
}

/* Cannot fail. */
void
presence_session_ends(const PresenceKey *key)
{
	TimestampTz now = GetCurrentTimestamp();
	PresenceUser *user;
	Latch	   *latch = NULL;

	LWLockAcquire(USERS_LOCK, LW_EXCLUSIVE);
	user = find_user(key);
	if (user != NULL && user->sessions > 0 && --user->sessions == 0)
	{
		user->reported_until = Max(user->reported_until, now);
		presence->searched_at = 0;
		latch = presence->watcher;
	}
	LWLockRelease(USERS_LOCK);
	wake(latch);
}

/* A report does not shorten another, which another gateway may have made. */
static bool
report_user(const PresenceKey *key, TimestampTz until, TimestampTz now)
{
	PresenceUser *user = find_or_add_user(key, now);

	if (user == NULL || !user_is_online(user, now))
		presence->wakes_at = now;
	if (user == NULL)
		return false;
	if (!user_is_online(user, now))
		user->online_since = now;
	user->reported_until = Max(user->reported_until, until);
	user->json_ids = guc_json_ids;
	return true;
}

int
presence_report(const int64 *user_ids, int count, TimestampTz until)
{
	PresenceKey key = presence_key(0);
	int			taken = 0;

	for (int from = 0; from < count; from += REPORT_CHUNK)
	{
		TimestampTz now = GetCurrentTimestamp();
		Latch	   *latch;

		CHECK_FOR_INTERRUPTS();
		LWLockAcquire(USERS_LOCK, LW_EXCLUSIVE);
		for (int i = from; i < Min(from + REPORT_CHUNK, count); i++)
		{
			key.user_id = user_ids[i];
			taken += report_user(&key, until, now);
		}
		latch = presence->wakes_at <= now || presence->wakes_at > until ? presence->watcher : NULL;
		LWLockRelease(USERS_LOCK);
		wake(latch);
	}
	return taken;
}

void
presence_end_reports(const int64 *user_ids, int count)
{
	PresenceKey key = presence_key(0);

	for (int i = 0; i < count; i++)
	{
		TimestampTz now = GetCurrentTimestamp();
		PresenceUser *user;
		Latch	   *latch = NULL;

		CHECK_FOR_INTERRUPTS();
		key.user_id = user_ids[i];
		LWLockAcquire(USERS_LOCK, LW_EXCLUSIVE);
		user = find_user(&key);
		if (user != NULL && user->reported_until > now)
		{
			user->reported_until = now;
			presence->searched_at = 0;
			latch = presence->watcher;
		}
		LWLockRelease(USERS_LOCK);
		wake(latch);
	}
}

/* ---------- looking ---------- */

bool
presence_is_online(const PresenceKey *key)
{
	TimestampTz now = GetCurrentTimestamp();
	PresenceUser *user;
	bool		online;

	LWLockAcquire(USERS_LOCK, LW_SHARED);
	user = find_user(key);
	online = user != NULL && user_is_online(user, now);
	LWLockRelease(USERS_LOCK);
	return online;
}

void
presence_status(PresenceStatus *status)
{
	TimestampTz now = GetCurrentTimestamp();

	status->online = 0;
	LWLockAcquire(USERS_LOCK, LW_SHARED);
	for (int i = 0; i < presence->ever_used; i++)
		status->online += presence->users[i].used && user_is_online(&presence->users[i], now);
	status->room = presence->room;
	status->turned_away = presence->turned_away;
	LWLockRelease(USERS_LOCK);
}

uint64
presence_turned_away(void)
{
	uint64		turned_away;

	LWLockAcquire(USERS_LOCK, LW_SHARED);
	turned_away = presence->turned_away;
	LWLockRelease(USERS_LOCK);
	return turned_away;
}

/* ---------- telling ---------- */

int
presence_changes(PresenceChange *changes, int most)
{
	PresenceKey mine = presence_key(0);
	TimestampTz now = GetCurrentTimestamp();
	int			count = 0;

	LWLockAcquire(USERS_LOCK, LW_SHARED);
	for (int i = 0; i < presence->ever_used && count < most; i++)
	{
		const PresenceUser *user = &presence->users[i];

		if (user->used && user->key.database == mine.database && user->key.schema == mine.schema &&
			user_is_online(user, now) != user->announced)
		{
			changes[count].key = user->key;
			changes[count].json_ids = user->json_ids;
			changes[count++].online = !user->announced;
		}
	}
	LWLockRelease(USERS_LOCK);
	return count;
}

/* The watcher looks at what has changed again meanwhile, and at more if there is more. */
void
presence_told(const PresenceChange *changes, int count, bool more)
{
	TimestampTz now = GetCurrentTimestamp();
	Latch	   *latch = NULL;

	LWLockAcquire(USERS_LOCK, LW_EXCLUSIVE);
	for (int i = 0; i < count; i++)
	{
		PresenceUser *user = find_user(&changes[i].key);

		if (user == NULL)
			continue;
		user->announced = changes[i].online;
		if (user_is_online(user, now) != user->announced)
			more = true;
		else if (!user->announced)
			remove_user(user);
	}
	if (more)
		latch = presence->watcher;
	LWLockRelease(USERS_LOCK);
	wake(latch);
}

/* ---------- watching ---------- */

void
presence_attach_watcher(Latch *latch)
{
	LWLockAcquire(USERS_LOCK, LW_EXCLUSIVE);
	presence->watcher = latch;
	LWLockRelease(USERS_LOCK);
}

/* Is there something to tell of a user?  Not for ever: the database may be gone. */
static bool
is_to_be_told(PresenceUser *user, TimestampTz now)
{
	bool		online = user_is_online(user, now);

	if (online != user->announced &&
		TimestampDifferenceExceeds(online ? user->online_since : user->reported_until, now, GIVE_UP_MS))
		user->announced = online;
	return online != user->announced;
}

static int
add_database(Oid *databases, int count, int most, Oid database)
{
	for (int i = 0; i < count; i++)
		if (databases[i] == database)
			return count;
	if (count < most)
		databases[count++] = database;
	return count;
}

int
presence_sweep(Oid *databases, int most, long *wait)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz next = DT_NOEND;
	int			count = 0;

	LWLockAcquire(USERS_LOCK, LW_EXCLUSIVE);
	for (int i = 0; i < presence->ever_used; i++)
	{
		PresenceUser *user = &presence->users[i];

		if (!user->used)
			continue;
		if (is_to_be_told(user, now))
			count = add_database(databases, count, most, user->key.database);
		else if (!user_is_online(user, now))
			remove_user(user);
		else if (user->sessions == 0)
			next = Min(next, user->reported_until);
	}
	if (count > 0)
		next = Min(next, TimestampTzPlusMilliseconds(now, ASK_AGAIN_MS));
	presence->wakes_at = next;
	LWLockRelease(USERS_LOCK);
	*wait = next == DT_NOEND ? -1 : TimestampDifferenceMilliseconds(now, next) + 1;
	return count;
}

/* ---------- typing ---------- */

/*
 * Where all places are taken that a user in a group may have, the oldest is given
 * away: who had it may type once more than it should.
 */
bool
presence_take_typing_turn(int64 group_id, int64 user_id)
{
	TypingPlace mine = {presence_key(user_id), group_id, GetCurrentTimestamp()};
	uint32		hash = hash_bytes((const unsigned char *) &mine, offsetof(TypingPlace, at));
	TypingPlace *places = &typing_places[(hash % typing_buckets()) * TYPING_WAYS];
	TypingPlace *place = &places[0];
	bool		is_turn = true;

	LWLockAcquire(TYPING_LOCK, LW_EXCLUSIVE);
	for (int i = 0; i < TYPING_WAYS; i++)
	{
		if (same_key(&places[i].key, &mine.key) && places[i].group_id == group_id)
		{
			place = &places[i];
			is_turn = TimestampDifferenceExceeds(place->at, mine.at, TYPING_MS);
			break;
		}
		if (places[i].at < place->at)
			place = &places[i];
	}
	if (is_turn)
		*place = mine;
	LWLockRelease(TYPING_LOCK);
	return is_turn;
}
