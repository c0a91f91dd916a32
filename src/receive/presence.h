/*
 * presence.h
 *	  Who is online.
 */
#ifndef CHATREL_PRESENCE_H
#define CHATREL_PRESENCE_H

/* Fails where it is not known who is online. */
extern void require_presence(const char *function);

extern void presence_init(void);

#endif							/* CHATREL_PRESENCE_H */
