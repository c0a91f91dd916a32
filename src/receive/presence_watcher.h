/*
 * presence_watcher.h
 *	  The process that notices who comes and goes.
 */
#ifndef CHATREL_PRESENCE_WATCHER_H
#define CHATREL_PRESENCE_WATCHER_H

extern void presence_watcher_init(void);

#endif							/* CHATREL_PRESENCE_WATCHER_H */
