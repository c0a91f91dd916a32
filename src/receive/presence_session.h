/*
 * presence_session.h
 *	  The users whom this session listens for: they are online.
 */
#ifndef CHATREL_PRESENCE_SESSION_H
#define CHATREL_PRESENCE_SESSION_H

/* In force when the transaction commits, as LISTEN and UNLISTEN are */
extern void presence_listens(int64 user_id);
extern void presence_unlistens(void);

extern void presence_session_init(void);

#endif							/* CHATREL_PRESENCE_SESSION_H */
