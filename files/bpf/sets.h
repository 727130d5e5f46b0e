/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* Which rules, services and trusted flows match a packet: intersections of the sets that its fields give. */
#ifndef TRIPOD_SETS_H
#define TRIPOD_SETS_H

#include "fields.h"
#include "ranges.h"

#define SETS 10 /* fields */
#define LONGEST 65535 /* last index of policy.length */

/* The sets of a packet's fields; a field that is not in use repeats that of the protocol, which always is. */
struct match {
	const struct field_set *sets[SETS];
	__u64 words;
	__u64 services[SERVICE_WORDS];
};

/* Parts by number, from 1; 0: none. */
struct matched_rule {
	__u32 decides; /* first that is enforced */
	__u32 observed; /* first of all, where it is in observe mode */
};

/* Place of the lowest bit that is set, by a de Bruijn sequence: BPF has no instruction for it. */
static __always_inline __u32 lowest(__u64 word)
{
	static const __u8 places[64] = {
		0,  1,	2,  53, 3,  7,	54, 27, 4,  38, 41, 8,	34, 55, 48, 28, 62, 5,	39, 46, 44, 42,
		22, 9,	24, 35, 59, 56, 49, 18, 29, 11, 63, 52, 6,  26, 37, 40, 33, 47, 61, 45, 43, 21,
		23, 58, 17, 10, 51, 25, 36, 32, 60, 20, 57, 16, 50, 31, 19, 15, 30, 14, 13, 12,
	};

	return places[(word & -word) * 0x022fdd63cc95386dull >> 58];
}

/* A number read from a packet, as an index below `count`, else `other`; neither clang nor the verifier knows that of the other. */
static __always_inline __u64 bounded(__u64 index, __u32 count, __u32 other)
{
	barrier_var(index);
	return index < count ? index : other;
}

static __always_inline const struct field_set *field_set(const struct policy *policy, __u32 number)
{
	const struct field_set *sets = (const void *)policy + bounds.sets;

	return sets + (number & (bounds.sets_count - 1));
}

static __always_inline const struct field_set *port_set(const struct policy *policy, const __u16 *table, __u32 port)
{
	return field_set(policy, table[bounded(port, NO_PORT + 2, NO_PORT)]);
}

/* Whether protocol and destination port are those of a trusted flow. */
static __always_inline bool is_trusted_flow(const struct policy *policy, struct packet *p)
{
	return field_set(policy, policy->protocol[p->protocol])->trusted &
	       port_set(policy, policy->destination_port, p->destination_port)->trusted;
}

/* Leave out what a field excludes; return whether anything is left. */
static __always_inline bool narrow(struct match *m, int place, const struct field_set *set)
{
	m->sets[place] = set;
	m->words &= set->words;
	m->services[0] &= set->services[0];
	m->services[1] &= set->services[1];
	return m->words | m->services[0] | m->services[1];
}

/* Whether any part may match, by the two fields that nearly all are on: set 0 is empty, and most packets' set is that. */
static __always_inline bool may_match(const struct policy *policy, struct packet *p)
{
	if (!policy->protocol[p->protocol])
		return false;
	return !(policy->fields & FIELD_DESTINATION_PORT) ||
	       policy->destination_port[bounded(p->destination_port, NO_PORT + 2, NO_PORT)];
}

/* Intersect the sets of all fields in use; return whether any rule may match, or any service does. */
static __always_inline bool match(struct xdp_md *ctx, const struct policy *policy, struct packet *p, __u32 source,
				  struct match *m)
{
	const struct field_set *set;
	__u32 fields = policy->fields;
	struct address destination;
	int i;

	if (!may_match(policy, p))
		return false;
	set = field_set(policy, policy->protocol[p->protocol]);
	m->words = set->words;
	m->services[0] = set->services[0];
	m->services[1] = set->services[1];
	m->sets[0] = set;
	m->sets[1] = set;
	if (fields & FIELD_DESTINATION_PORT &&
	    !narrow(m, 1, port_set(policy, policy->destination_port, p->destination_port)))
		return false;
	m->sets[2] = set;
	if (fields & FIELD_SOURCE && !narrow(m, 2, field_set(policy, result(policy, source)->set)))
		return false;
#pragma unroll
	for (i = 3; i < SETS; i++)
		m->sets[i] = set;
	if (!(fields & ~(FIELD_PROTOCOL | FIELD_DESTINATION_PORT | FIELD_SOURCE)))
		return true;
	if (fields & FIELD_DESTINATION) {
		destination = read_destination(ctx, p);
		narrow(m, 3, field_set(policy, destination_set(policy, p, &destination)));
	}
	if (fields & FIELD_SOURCE_PORT)
		narrow(m, 4, port_set(policy, policy->source_port, read_source_port(ctx, p)));
	if (fields & FIELD_TCP_FLAGS)
		narrow(m, 5, field_set(policy, policy->tcp_flags[bounded(read_tcp_flags(ctx, p), NO_TCP_FLAGS + 2, NO_TCP_FLAGS)]));
	if (fields & FIELD_ICMP_TYPE)
		narrow(m, 6, field_set(policy, policy->icmp_type[bounded(read_icmp_type(ctx, p), NO_ICMP_TYPE + 2, NO_ICMP_TYPE)]));
	if (fields & FIELD_VLAN)
		narrow(m, 7, field_set(policy, policy->vlan[bounded(read_vlan(ctx), NO_VLAN + 1, NO_VLAN)]));
	if (fields & FIELD_FRAGMENT)
		narrow(m, 8, field_set(policy, policy->fragment[p->fragment & 3]));
	if (fields & FIELD_LENGTH)
		narrow(m, 9, field_set(policy, policy->length[bounded(p->length, LONGEST, LONGEST)]));
	return true;
}

static __always_inline struct matched_rule first_rules(const struct policy *policy, const struct match *m)
{
	struct matched_rule found = {};
	__u64 words = m->words, matched, enforced;
	__u32 word;
	bool any = false;
	int i, field;

	for (i = 0; i < RULE_WORDS && words; i++) {
		word = lowest(words) & (RULE_WORDS - 1);
		words &= words - 1;
		matched = m->sets[0]->rules[word];
#pragma unroll
		for (field = 1; field < SETS; field++)
			matched &= m->sets[field]->rules[word];
		if (!matched)
			continue;
		enforced = matched & ~policy->observed_rules[word];
		if (!any && !(matched & -matched & enforced))
			found.observed = word * 64 + lowest(matched) + 1;
		any = true;
		if (enforced) {
			found.decides = word * 64 + lowest(enforced) + 1;
			break;
		}
	}
	return found;
}

/* Number of the first service that matches, from 1; 0: none. */
static __always_inline __u32 first_service(const struct match *m)
{
	if (m->services[0])
		return lowest(m->services[0]) + 1;
	if (m->services[1])
		return lowest(m->services[1]) + 65;
	return 0;
}

#endif
