/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/*
 * A compiled policy: the one value of the inner map that the program judges by. The
 * compiler writes it whole, then the outer map's one element is exchanged, so that no
 * packet sees half of one.
 *
 * It begins with struct policy; tables whose size depends on the policy follow where
 * struct policy_bounds says, which is a constant of a loaded program (a policy that
 * outgrows its size class needs a program that is loaded anew). Numbers, addresses and
 * masks too, are in host order. 0 means "none" wherever lists, limits or counters are
 * named by number.
 */
#ifndef TRIPOD_POLICY_H
#define TRIPOD_POLICY_H

#include <linux/types.h>

#define POLICY_ABI 1

#define MAX_LISTS 256 /* with 0, which is none */
#define MAX_LIMITS 256 /* with 0, which is none; a number is a byte */
#define MAX_EVERY_PACKET 4
#define RULE_WORDS 16
#define SERVICE_WORDS 2
#define MAX_RULES (RULE_WORDS * 64)
#define MAX_SERVICES (SERVICE_WORDS * 64)
#define MAX_TRUSTED_FLOWS 64
#define MAX_HITS 4096 /* slots of `hits`, with 0, which is none */

/* What a part does with a packet that it matches. */
enum policy_action {
	POLICY_NONE, /* of a rule or a service: nothing but its limit */
	POLICY_PASS,
	POLICY_DROP,
	POLICY_LIMIT, /* of a list */
	POLICY_AFXDP, /* of a service */
	POLICY_SYNCOOKIE, /* of a service */
};

/* What a policy uses; the rest is not looked at. Bits of policy.features. */
enum policy_feature {
	FEATURE_SOURCES = 1 << 0, /* lists, trusted prefixes, or rules and services on sources */
	FEATURE_TRUSTED_FLOWS = 1 << 1,
	FEATURE_RULES = 1 << 2,
	FEATURE_SERVICES = 1 << 3,
};

/* Fields that any trusted flow, rule or service of this policy looks at. Bits of policy.fields. */
enum policy_field {
	FIELD_SOURCE = 1 << 0,
	FIELD_DESTINATION = 1 << 1,
	FIELD_PROTOCOL = 1 << 2,
	FIELD_SOURCE_PORT = 1 << 3,
	FIELD_DESTINATION_PORT = 1 << 4,
	FIELD_TCP_FLAGS = 1 << 5,
	FIELD_ICMP_TYPE = 1 << 6,
	FIELD_VLAN = 1 << 7,
	FIELD_FRAGMENT = 1 << 8,
	FIELD_LENGTH = 1 << 9,
};

enum policy_fragment {
	FRAGMENT_NONE, /* whole; so is what has an IPv6 fragment header and neither an offset nor more to come */
	FRAGMENT_FIRST,
	FRAGMENT_LATER,
};

/*
 * Rules, services and trusted flows are found by all their fields at once: the tables below give a set for the value that
 * a packet has in a field, named by its number in `sets`: the parts that this field does not exclude. The parts that match
 * are in the sets of all fields in use. Bit i of word i / 64 is part i; the lowest comes first. Equal sets may be one.
 * Set 0 is empty: a packet of which a field gives it is looked at no further.
 * Where there is any rule, service or trusted flow, FIELD_PROTOCOL is in use.
 *
 * Trusted flows are on FIELD_PROTOCOL and FIELD_DESTINATION_PORT only, and are looked up in their sets alone.
 */
struct field_set {
	__u64 trusted; /* flows */
	__u64 words; /* bit w: rules[w] is not zero */
	__u64 services[SERVICE_WORDS];
	__u64 rules[RULE_WORDS];
	__u64 reserved[4]; /* three cache lines; up to 256 rules are in the first */
};

/* Behind the sets of a field's values: for packets without it, and for later fragments, which might have had it. */
#define WITHOUT 0
#define IN_LATER_FRAGMENT 1

/* What an address says as a source; number 0 is what one says that is in nothing. */
struct source_result {
	__u8 list; /* that decides, of those that are enforced, or 0 */
	__u8 observed; /* in observe mode, that would decide if all were enforced, or 0 */
	__u16 set; /* of FIELD_SOURCE */
	__u16 drops; /* counter of the list that decides, where that drops and nothing else is said of the source, or 0 */
	__u8 trusted;
	__u8 reserved;
};

struct policy_list {
	__u16 counter; /* its slot of `hits` */
	__u16 limit; /* for POLICY_LIMIT */
	__u8 action; /* enum policy_action: pass, drop, limit */
	__u8 reserved[3];
};

struct policy_part { /* a rule or a service */
	__u16 counter;
	__u16 limit; /* taken where it is not 0: a rule's unless the rule passes, a service's before its action */
	__u8 action; /* enum policy_action */
	__u8 reserved[3];
};

enum limit_scope {
	LIMIT_SOURCE = 1,
	LIMIT_SERVICE = 2, /* a bucket for each service that names it; nothing else may */
	LIMIT_GLOBAL = 3,
};

/*
 * A token bucket as a theoretical arrival time (GCRA), in jiffies of 2^-36: a packet
 * costs packet_cost + its length * byte_cost, and may come `span` before its time. The
 * cost of the longest packet is within the span, and the span within MAX_SPAN. A limit
 * in packets and in bytes is two of these, the first one's `next` being the second.
 */
#define TICK_BITS 36
#define MAX_SPAN (1ull << (TICK_BITS + 26))
struct policy_limit {
	__u64 packet_cost;
	__u64 byte_cost;
	__u64 span; /* burst */
	__u64 seed; /* of the limit's id and a secret: keys its buckets, and keeps them over a replacement */
	__u64 v6_mask[2]; /* of the source prefix that shares a bucket: upper, lower 64 bits */
	__u32 v4_mask;
	__u16 counter;
	__u16 next; /* limit to be asked also, or 0 */
	__u8 scope; /* enum limit_scope */
	__u8 observe;
	__u8 reserved[6];
};

/*
 * Addresses. A table gives a u16 for each: as a source, the number of its source_result;
 * as a destination, its set. Sources and destinations share `ranges4`, `index6`, `nodes6`,
 * `deep6` and `tails6`.
 *
 * A u32 with TABLE_VALUE holds a value in its low 16 bits. Else:
 *
 * IPv4: index4[upper 16 bits] is `log << TABLE_SHIFT | first`: 1 << log entries from
 * ranges4[first] on, each `start << 16 | value`, start being the low 16 bits of a range's
 * first address. They are sorted, the first one's start is 0, and the last is repeated
 * until they are a power of two. log is 1 to 16.
 *
 * IPv6: pages6[upper 6 bits] is where in index6 a page of 65536 for the next 16 bits
 * begins. There, `depth << NODE_SHIFT | first` is a tree from nodes6[first] on, a node being
 * 8 entries, each `start << RANGE6_BITS | value`, with start of the 42 bits that follow (up to
 * /64). Sorted, the first one's start is 0. Level l of `depth` levels (1 to 7, 0 is the root)
 * has 8^l nodes and begins at node (8^l - 1) / 7; the last level holds the ranges, and ends
 * with the last node in use; an entry above it has the start of its child's first entry, and any
 * value. Unused entries are NODE_UNUSED, which no other entry is.
 *
 * A value with RANGE6_DEEP is a number in deep6: `log << TABLE_SHIFT | first`: 1 << log
 * starts from tails6[first] on, of the lower 64 bits, sorted, the first one 0 and the
 * last repeated; and behind them as many u16 values, filled up to whole u64.
 */
#define TABLE_VALUE (1u << 31)
#define TABLE_SHIFT 26
#define NODE_SHIFT 28
#define NODE_ENTRIES 8
#define MAX_DEPTH 7
#define RANGE6_BITS 21
#define RANGE6_DEEP (1u << 20)
#define NODE_UNUSED (~0ull >> 1)

/* Offsets are in bytes from the start of the value, multiples of 64; a count of 0 is a table that is not there. */
struct policy_bounds {
	__u32 size; /* of the whole value, a multiple of 4096 */
	__u32 results, results_count; /* struct source_result[]; the space of 65536 of them lies within the value */
	__u32 sets, sets_count; /* struct field_set[], a power of two, at most 65536 */
	__u32 ranges4, ranges4_count; /* u32[] */
	__u32 index6, index6_count; /* u32[] */
	__u32 nodes6, nodes6_count; /* u64[][8] */
	__u32 deep6, deep6_count; /* u32[], less than 1 << 20 */
	__u32 tails6, tails6_count; /* u64[] */
};

struct policy {
	__u32 abi;
	__u32 features; /* enum policy_feature */
	__u32 fields; /* enum policy_field */
	__u8 default_action; /* POLICY_PASS or POLICY_DROP */
	__u8 reserved[3];
	/* Limits of every packet that is not trusted and not passed by a list or rule: by number, the first in the lowest byte. */
	__u64 every_packet;
	__u8 reserved_too[8];
	__u8 digest[32]; /* SHA-256 of what it was compiled from */

	__u64 observed_rules[RULE_WORDS]; /* in observe mode */
	struct policy_limit limits[MAX_LIMITS];
	struct policy_list lists[MAX_LISTS];
	struct policy_part rules[MAX_RULES];
	struct policy_part services[MAX_SERVICES];

	/* Sets by a field's value. */
	__u16 protocol[256];
	__u16 fragment[4]; /* enum policy_fragment */
	__u16 tcp_flags[256 + 4]; /* + WITHOUT, + IN_LATER_FRAGMENT, or a first one that ends before them */
	__u16 icmp_type[512 + 4]; /* ICMP, then ICMPv6; + as above */
	__u16 vlan[4096 + 4]; /* of the outermost tag; + WITHOUT */
	__u16 source_port[65536 + 4]; /* of TCP and UDP; + as above */
	__u16 destination_port[65536 + 4];
	__u16 length[65536]; /* of the frame; longer ones as 65535 */

	__u32 source6_pages[64];
	__u32 destination6_pages[64];
	__u32 source4[65536]; /* index4 */
	__u32 destination4[65536];
};

#endif
