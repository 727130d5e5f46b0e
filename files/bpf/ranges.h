/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* What a policy says of an address: tables of ranges, whose format tripod_policy.h gives. */
#ifndef TRIPOD_RANGES_H
#define TRIPOD_RANGES_H

#include "branchless.h"
#include "maps.h"

#define TABLE_FIRST ((1u << TABLE_SHIFT) - 1)
#define NODE_FIRST ((1u << NODE_SHIFT) - 1)
#define VALUE_MASK 0xffffu
#define START6_BITS 42

/* Half of the number of entries that a table's root states: the first step of a binary search. */
static __always_inline __u32 first_step(__u32 root, __u32 most)
{
	__u32 half = (1u << (root >> TABLE_SHIFT & 31)) >> 1;

	barrier_var(half);
	return half & (most - 1);
}

static __always_inline __u32 lookup4(const struct policy *policy, const __u32 *index, __u32 address)
{
	const void *ranges = (const void *)policy + bounds.ranges4;
	__u32 root = index[address >> 16], size = bounds.ranges4_count * sizeof(__u32);
	__u64 beyond = ((__u64)(address & 0xffff) << 16) + 0x10000, at, half, middle;

	if (root & TABLE_VALUE)
		return root & VALUE_MASK;
	barrier_var(beyond); /* or its parts would be kept, and added at each step */
	/* In bytes, which saves each step a shift. */
	at = (root & TABLE_FIRST) * sizeof(__u32);
	for (half = first_step(root, 1 << 16) * sizeof(__u32); half; half = half / 2 & -sizeof(__u32)) {
		middle = at + half;
		if (middle >= size)
			break;
		at += half & below(*(const __u32 *)(ranges + middle), beyond);
	}
	if (at >= size)
		return 0;
	return *(const __u32 *)(ranges + at) & VALUE_MASK;
}

/* Return the value of the last entry that does not start behind `start`. */
static __always_inline __u32 search_nodes(const struct policy *policy, __u32 root, __u64 start)
{
	const __u64 *nodes = (const void *)policy + bounds.nodes6;
	__u64 last = start << RANGE6_BITS | ((1 << RANGE6_BITS) - 1);
	__u32 depth = root >> NODE_SHIFT, level = root & NODE_FIRST, width = 1, position = 0, node, rank;
	const __u64 *entries;
	__u32 l;
	int i;

	for (l = 0; l < MAX_DEPTH; l++) {
		node = level + position;
		if (node >= bounds.nodes6_count)
			return 0;
		entries = nodes + (__u64)node * NODE_ENTRIES;
		rank = -1;
#pragma unroll
		for (i = 0; i < NODE_ENTRIES; i++)
			rank -= below(entries[i], last);
		rank &= NODE_ENTRIES - 1;
		if (l + 1 == depth)
			return entries[rank] & ((1 << RANGE6_BITS) - 1);
		level += width;
		width *= NODE_ENTRIES;
		position = position * NODE_ENTRIES + rank;
	}
	return 0;
}

/* Return the value of an address of a /64 in which more than one has its own. */
static __always_inline __u32 search_tail(const struct policy *policy, __u32 number, __u64 address)
{
	const __u64 *tails = (const void *)policy + bounds.tails6;
	const __u32 *deep = (const void *)policy + bounds.deep6;
	__u32 root, first, at, half, middle, rank;

	barrier_var(number); /* or it would be made anew where it is used */
	if (number >= bounds.deep6_count)
		return 0;
	root = deep[number];
	first = at = root & TABLE_FIRST;
	for (half = first_step(root, 1 << 21); half; half >>= 1) {
		middle = at + half;
		if (middle >= bounds.tails6_count)
			return 0;
		at += half & ~below_any(address, tails[middle]);
	}
	rank = at - first;
	at = first + (1u << (root >> TABLE_SHIFT & 31)) + rank / 4;
	if (at >= bounds.tails6_count)
		return 0;
	return tails[at] >> (rank % 4 * 16) & VALUE_MASK;
}

static __always_inline __u32 lookup6(const struct policy *policy, const __u32 *pages, const struct address *address)
{
	const __u32 *index = (const void *)policy + bounds.index6;
	__u32 root = pages[address->upper >> 58], at, value;

	if (root & TABLE_VALUE)
		return root & VALUE_MASK;
	at = root + (address->upper >> START6_BITS & 0xffff);
	if (at >= bounds.index6_count)
		return 0;
	root = index[at];
	if (root & TABLE_VALUE)
		return root & VALUE_MASK;
	value = search_nodes(policy, root, address->upper & ((1ull << START6_BITS) - 1));
	if (value & RANGE6_DEEP)
		return search_tail(policy, value & (RANGE6_DEEP - 1), address->lower);
	return value & VALUE_MASK;
}

static __always_inline const struct source_result *result(const struct policy *policy, __u32 number)
{
	const struct source_result *results = (const void *)policy + bounds.results;

	barrier_var(number);
	return results + (number & VALUE_MASK);
}

/* Whether an IPv6 source is ::ffff:0:0/96, which the stack hands to a socket as the IPv4 address that it holds. */
static __always_inline bool is_mapped(struct packet *p)
{
	return !p->source.upper && p->source.lower >> 32 == 0xffff;
}

/* Numbers of what the tables say of a source, and of the IPv4 address that a mapped one holds; 0: it is in nothing. */
struct source {
	__u32 number;
	__u32 held;
};

static __always_inline struct source find_source(const struct policy *policy, struct packet *p, bool plain)
{
	struct source source = {};

	if (plain || p->family == 4) {
		source.number = lookup4(policy, policy->source4, p->source.lower);
	} else {
		source.number = lookup6(policy, policy->source6_pages, &p->source);
		if (is_mapped(p))
			source.held = lookup4(policy, policy->source4, p->source.lower);
	}
	/* Or every way out of a search would be a way of its own through all that follows. */
	barrier_var(source.number);
	if (!plain)
		barrier_var(source.held);
	return source;
}

static __always_inline __u32 destination_set(const struct policy *policy, struct packet *p,
					     const struct address *destination)
{
	if (p->family == 4)
		return lookup4(policy, policy->destination4, destination->lower);
	return lookup6(policy, policy->destination6_pages, destination);
}

#endif
