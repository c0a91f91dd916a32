/*
 * shard_clock.h
 *	  A proxy does not wait for ever for a shard that does not answer.
 */
#ifndef CHATREL_SHARD_CLOCK_H
#define CHATREL_SHARD_CLOCK_H

extern void shard_clock_begin(ErrorContextCallback *callback);
extern void shard_clock_end(ErrorContextCallback *callback);

#endif							/* CHATREL_SHARD_CLOCK_H */
