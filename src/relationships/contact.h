/*
 * contact.h
 *	  Who may begin a direct conversation with whom.
 */
#ifndef CHATREL_CONTACT_H
#define CHATREL_CONTACT_H

#include "core/plans.h"

/* A condition: does one user follow the other? */
#define FOLLOWS(follower, followed) \
	"EXISTS (SELECT FROM chatrel.relationships r" \
	" WHERE r.follower_id" EQ follower " AND r.followed_id" EQ followed ")"

/*
 * Between owner_begin() and owner_end(), with all of them locked FOR SHARE.  What
 * has committed counts, whatever the isolation level.
 */
extern void require_contact(int64 user_id, Datum user_ids);

#endif							/* CHATREL_CONTACT_H */
