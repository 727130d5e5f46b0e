/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* What is known of a packet, and what has come of it. */
#ifndef TRIPOD_PACKET_H
#define TRIPOD_PACKET_H

#include "tripod_policy.h"
#include "tripod_xdp.h"

#include <linux/ipv6.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Where in the tables of struct policy the values of a field end. */
#define NO_PORT 65536
#define NO_TCP_FLAGS 256
#define NO_ICMP_TYPE 512
#define NO_VLAN 4096

/* In host order; IPv4 is in `lower`, and `upper` is not set then. */
struct address {
	__u64 upper;
	__u64 lower;
};

/*
 * What is known of a packet; family is 0 until the addresses are. What few policies look at is read
 * where it is asked for.
 *
 * It is in a map, of which the verifier knows nothing: what it knows of a variable it follows on
 * a path of its own, and all ways through the parser times all ways through a policy are more
 * than it looks at.
 */
struct packet {
	struct address source;
	/* What is the same of all plain packets, in one word: one store sets it. */
	__u16 network_offset;
	__u16 transport_offset; /* 0 where no transport header was reached */
	__u8 family;
	__u8 fragment; /* enum policy_fragment */
	__u8 evasive; /* 1: malformed in a way that the stack does not mind */
	__u8 reason; /* enum tripod_reason: REASON_NO_RULE for an IP packet that is whole, else why it is not judged as one */
	/* Of outcome(): what it has come to so far, and what the first part in observe mode would have made of it; 0: none had a say. */
	__u32 outcome;
	__u32 would;
	__u8 protocol;
	__u32 destination_port; /* index into the table of struct policy */
	__u32 length; /* of the frame, all buffers */
	__u64 forgotten; /* of forget() */
};

/* A verdict, its reason and the slot of the part that gave it, in one number. */
static __always_inline __u32 outcome(enum xdp_action verdict, enum tripod_reason reason, __u16 slot)
{
	return (verdict * REASON_SLOTS + reason) << 16 | slot;
}

static __always_inline enum xdp_action verdict_of(__u32 outcome)
{
	return (outcome >> 16) / REASON_SLOTS;
}

static __always_inline enum tripod_reason reason_of(__u32 outcome)
{
	return (outcome >> 16) % REASON_SLOTS;
}

/* The same number, of which the verifier knows nothing any more. */
static __always_inline __u64 forget(__u64 value, struct packet *p)
{
	*(volatile __u64 *)&p->forgotten = value;
	return *(volatile __u64 *)&p->forgotten;
}

static __always_inline void settle(struct packet *p, enum xdp_action verdict, enum tripod_reason reason, __u16 slot)
{
	p->outcome = outcome(verdict, reason, slot);
}

/* Note what a part in observe mode would have done; the first one's word counts. */
static __always_inline void observe(struct packet *p, bool drops, enum tripod_reason reason, __u16 slot)
{
	if (!p->would)
		p->would = outcome(drops ? XDP_DROP : XDP_PASS, reason, slot);
}

static __always_inline struct address address6(const struct in6_addr *v6)
{
	const __be64 *words = (const void *)v6;
	struct address address = { bpf_be64_to_cpu(words[0]), bpf_be64_to_cpu(words[1]) };

	return address;
}

#endif
