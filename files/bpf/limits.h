/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* Token buckets: asked, charged, and found for a source in bounded memory. */
#ifndef TRIPOD_LIMITS_H
#define TRIPOD_LIMITS_H

#include "branchless.h"
#include "maps.h"

/* CPUs that charge one bucket at once make each other try again; after so many times one adds what it owes unasked. */
#define CHARGE_TRIES 4

/* Jiffies of 2^-TICK_BITS; the upper bits are lost, so that only differences mean anything. */
static __always_inline __u64 ticks(void)
{
	return bpf_jiffies64() << TICK_BITS;
}

/*
 * What a bucket lacks: how long before its time it is. Nothing, where that would be further than it can be, as that
 * was long ago and the clock has come round; nor where it was never charged.
 */
static __always_inline __u64 lack(__u64 arrival, __u64 now, __u64 span)
{
	__u64 ahead = arrival - now;

	return arrival && ahead <= span ? ahead : 0;
}

/* Take `cost` from a bucket; return whether it has that much. */
static __always_inline bool charge(__u64 *arrival, __u64 span, __u64 cost)
{
	__u64 now = ticks(), held = *arrival, found, wanted;
	int i;

	for (i = 0; i < CHARGE_TRIES; i++) {
		wanted = lack(held, now, span) + cost;
		if (wanted > span)
			return false;
		if (!charging)
			return true;
		found = __sync_val_compare_and_swap(arrival, held, now + wanted);
		if (found == held)
			return true;
		held = found;
	}
	__sync_fetch_and_add(arrival, cost);
	return true;
}

/* A permutation of 64 bits, keyed by what is added beforehand: two sources of one limit never have the same key. */
static __always_inline __u64 mix(__u64 word)
{
	word *= 0xd6e8feb86659fd93ull;
	word ^= word >> 32;
	word *= 0xd6e8feb86659fd93ull;
	return word;
}

static __always_inline __u64 source_key(const struct policy_limit *limit, struct packet *p)
{
	if (p->family == 4)
		return mix(limit->seed ^ ((__u32)p->source.lower & limit->v4_mask));
	return mix(mix(limit->seed ^ (p->source.upper & limit->v6_mask[0])) ^ (p->source.lower & limit->v6_mask[1]));
}

/* As lack() for any span, without branches: which bucket of a line lacks least is chance. */
static __always_inline __u64 least_lack(__u64 arrival, __u64 now)
{
	__u64 ahead = arrival - now, within = ~(ahead | ahead << 1) >> 63, charged = (arrival | -arrival) >> 63;

	barrier_var(within);
	barrier_var(charged);
	return ahead & -(within & charged);
}

/* The place in a line whose bucket lacks least. */
static __always_inline __u32 fullest(const struct bucket_line *line)
{
	__u64 now = ticks(), least = least_lack(line->ways[0].arrival, now), lacking, less;
	__u32 way = 0;
	int i;

#pragma unroll
	for (i = 1; i < BUCKET_WAYS; i++) {
		lacking = least_lack(line->ways[i].arrival, now);
		less = below(lacking, least);
		least += (lacking - least) & less;
		way += (i - way) & less;
	}
	return way;
}

static __always_inline struct bucket_line *bucket_line(__u32 number)
{
	return bpf_map_lookup_elem(&buckets, &number);
}

/* The bucket of a limit for all or of a service, named by its slot of `hits` and the place of its limit in a chain. */
static __always_inline struct bucket *own_bucket(__u32 slot, bool second)
{
	struct bucket_line *line = bucket_line(SOURCE_LINES + slot / 2);

	return line ? &line->ways[slot % 2 * 2 + second] : NULL;
}

/*
 * The bucket of a source, which may be in any place of its line. One that has none takes over the one that is nearest to
 * being full, as it stands: what that lacks the newcomer lacks too, so a flood of new sources earns no more than the
 * buckets do that it takes, and a source that is limited gains nothing by losing its own.
 */
static __always_inline struct bucket *source_bucket(__u64 key, struct packet *p)
{
	struct bucket_line *line = bucket_line(key >> (64 - SOURCE_LINE_BITS));
	__u32 way;

	if (!line)
		return NULL;
#pragma unroll
	for (way = 0; way < BUCKET_WAYS; way++) {
		if (line->ways[way].key == key)
			break;
	}
	if (way == BUCKET_WAYS)
		way = fullest(line);
	return &line->ways[forget(way, p) & (BUCKET_WAYS - 1)];
}

/* Charge a packet to a limit's bucket, that of `service` where it is a service's; return whether it conforms. */
static __always_inline bool charge_to(const struct policy_limit *limit, struct packet *p, __u16 service, bool second)
{
	__u64 cost = limit->packet_cost + limit->byte_cost * p->length, key = 0;
	struct bucket *bucket;

	barrier_var(cost); /* or its parts would be kept until it is asked for */
	if (limit->scope == LIMIT_SOURCE) {
		key = source_key(limit, p);
		bucket = source_bucket(key, p);
	} else {
		bucket = own_bucket(limit->scope == LIMIT_SERVICE ? service : limit->counter, second);
	}
	if (!bucket)
		return true;
	if (!charge(&bucket->arrival, limit->span, cost))
		return false;
	if (bucket->key != key && charging)
		bucket->key = key;
	return true;
}

/* Put a limit in front of those that a packet is to be asked: numbers of a byte each, the first in the lowest, 0 is none. */
static __always_inline __u64 ask_first(__u16 number, __u64 numbers)
{
	return number ? numbers << 8 | (number & (MAX_LIMITS - 1)) : numbers;
}

static __always_inline void record_limit(int place, __u16 slot, enum limit_outcome outcome)
{
	struct trace_record *record = traced();

	if (!record)
		return;
	record->limits[place].slot = slot;
	record->limits[place].outcome = outcome;
	record->last_outcome = outcome;
}

/*
 * Ask limits in turn until one is exceeded that is enforced; return whether the packet may go on.
 *
 * `numbers` are as of ask_first(), at least one; `service` is the slot of the service whose limit it is; and `most` of them
 * with their seconds are recorded from `place` on.
 */
static __always_inline bool conforms(const struct policy *policy, struct packet *p, __u64 numbers, __u16 service,
				     int place, int most)
{
	const struct policy_limit *limit;
	__u32 second = 0;
	__u16 next;
	int i;

	for (i = 0; i < most; i++) {
		limit = &policy->limits[numbers & (MAX_LIMITS - 1)];
		barrier_var(limit); /* or it would be computed for each member */
		numbers >>= 8;
		if (charge_to(limit, p, service, second != 0)) {
			record_limit(place + i, limit->counter, OUTCOME_CONFORMED);
			next = limit->next;
			numbers = ask_first(next, numbers);
			if (!numbers)
				return true;
			second = forget(next, p);
		} else {
			hit(limit->counter, limit->observe, p);
			if (!limit->observe) {
				record_limit(place + i, limit->counter, OUTCOME_EXCEEDED);
				settle(p, XDP_DROP, REASON_LIMIT, limit->counter);
				return false;
			}
			record_limit(place + i, limit->counter, OUTCOME_OBSERVED);
			observe(p, true, REASON_LIMIT, limit->counter);
			if (!numbers)
				return true;
			second = forget(0, p);
		}
		numbers = forget(numbers, p);
	}
	return true;
}

#endif
