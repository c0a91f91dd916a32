/*
 * presence_announce.h
 *	  Telling who comes and goes to those who share a group.
 */
#ifndef CHATREL_PRESENCE_ANNOUNCE_H
#define CHATREL_PRESENCE_ANNOUNCE_H

extern void presence_announce_init(void);

#endif							/* CHATREL_PRESENCE_ANNOUNCE_H */
