/*
 * requests.h
 *	  What is asked of protected users.
 */
#ifndef CHATREL_REQUESTS_H
#define CHATREL_REQUESTS_H

#include "core/plans.h"

/* A condition: is that user protected? */
#define PROTECTED(user_id) \
	"EXISTS (SELECT FROM chatrel.user_settings s WHERE s.user_id" EQ user_id " AND s.protected)"

/* A condition: is one user's request to another waiting? */
#define REQUESTED(follower_id, followed_id) \
	"EXISTS (SELECT FROM chatrel.follow_requests q" \
	" WHERE q.follower_id" EQ follower_id " AND q.followed_id" EQ followed_id ")"

/* A condition: does one user follow another in that way? */
#define FOLLOWED_AS(follower_id, followed_id, follow_type) \
	"EXISTS (SELECT FROM chatrel.relationships r" \
	" WHERE r.follower_id" EQ follower_id " AND r.followed_id" EQ followed_id \
	" AND r.follow_type" EQ follow_type ")"

/*
 * Between owner_begin() and owner_end(), with the users locked.  values: follower,
 * array of those that it wants to follow, follow_type.
 */
extern void requests_update(Datum *values, const char *username);

extern bool request_waits(int64 follower_id, int64 followed_id);

/* Takes one request away; null if there is none, else its follow_type. */
extern text *request_remove(int64 follower_id, int64 followed_id);

#endif							/* CHATREL_REQUESTS_H */
