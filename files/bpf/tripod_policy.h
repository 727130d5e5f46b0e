/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/*
 * A compiled policy: the one value of the inner map that the program judges by. The
 * compiler writes it whole, then the outer map's one element is exchanged, so that no
 * packet sees half of one.
 *
 * It begins with struct policy; tables whose size depends on the policy follow at the
 * offsets of struct policy_bounds, which are constants of a loaded program (a policy
 * that outgrows its size class needs a program that is loaded anew). Numbers are in
 * host order, addresses as said. Index 0 means "none" wherever lists, limits, classes
 * or counters are named by number.
 */
#ifndef TRIPOD_POLICY_H
#define TRIPOD_POLICY_H

#include <linux/types.h>

#define POLICY_ABI 1

#define MAX_LISTS 256 /* with 0, which is none */
#define MAX_LIMITS 256 /* with 0, which is none */
#define MAX_EVERY_PACKET 4

/*
 * Parts that are found by several fields at once are bits of a set: a packet's value in
 * each field gives a class, each class a set of the parts that this field does not
 * exclude, and the parts that match are in all of the sets.
 */
#define RULE_WORDS 16
#define SERVICE_WORDS 2
#define MAX_RULES (RULE_WORDS * 64)
#define MAX_SERVICES (SERVICE_WORDS * 64)
#define MAX_TRUSTED_FLOWS 64

#define V4_INDEX_BITS 16
#define V6_INDEX_BITS 19

/* What a part does with a packet that it matches; the numbers of enum tripod_action where both have them. */
enum policy_action {
	POLICY_NONE = 0, /* of a rule or a service: nothing but its limit */
	POLICY_PASS = 1,
	POLICY_DROP = 2,
	POLICY_LIMIT = 3,
	POLICY_AFXDP = 4, /* of services only */
	POLICY_SYNCOOKIE = 5, /* of services only */
};

/* Features that a policy uses: what is not in use is not looked at. Bits of policy.features. */
enum policy_feature {
	FEATURE_TRUSTED_FLOWS = 1 << 0,
	FEATURE_LISTS = 1 << 1, /* lists, or trusted prefixes */
	FEATURE_RULES = 1 << 2,
	FEATURE_LIMITS = 1 << 3,
	FEATURE_SERVICES = 1 << 4,
	FEATURE_SYNCOOKIE = 1 << 5,
	FEATURE_AFXDP = 1 << 6,
};

/* Fields that any trusted flow, rule or service of this policy looks at. Bits of policy.fields. */
enum policy_field {
	FIELD_SOURCE = 1 << 0, /* class of struct source_result */
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
#define FIELDS 10

enum policy_fragment {
	FRAGMENT_NONE = 0,
	FRAGMENT_FIRST = 1,
	FRAGMENT_LATER = 2,
};

/*
 * The parts that one class of one field does not exclude; bit i of word i / 64. `summary` has a bit for each word of
 * `rules` that is not zero.
 */
struct class_set {
	__u64 trusted;
	__u64 services[SERVICE_WORDS];
	__u64 summary;
	__u64 rules[RULE_WORDS];
};

/* What the source's address says; result 0 is "in nothing" and all zero. */
struct source_result {
	__u16 list; /* that decides, or 0 */
	__u16 observed; /* in observe mode, that would decide if all were enforced, or 0 */
	__u16 source_class; /* of FIELD_SOURCE */
	__u8 trusted;
	__u8 reserved;
};

struct policy_list {
	__u16 counter; /* its slot of `hits` */
	__u16 limit; /* for POLICY_LIMIT */
	__u8 action; /* enum policy_action: pass, drop, limit */
	__u8 owner; /* enum tripod_owner */
	__u8 reserved[2];
};

struct policy_part { /* a rule or a service */
	__u16 counter;
	__u16 limit; /* taken first where it is not 0 */
	__u8 action; /* enum policy_action */
	__u8 worker; /* for POLICY_AFXDP: number of the name, for user space only */
	__u8 reserved[2];
};

enum limit_scope {
	LIMIT_SOURCE = 1,
	LIMIT_SERVICE = 2, /* a bucket for each service that names it */
	LIMIT_GLOBAL = 3,
};

/*
 * A token bucket as a theoretical arrival time (GCRA), in jiffies of 2^-36: a packet
 * costs `packet_cost` + its length * `byte_cost`, and may come `span` before its time.
 * A limit in packets and in bytes is two of these, chained by `next`.
 */
struct policy_limit {
	__u64 packet_cost;
	__u64 byte_cost;
	__u64 span; /* burst */
	__u64 seed; /* of the limit's id and a secret: key of its buckets */
	__u16 counter;
	__u16 next; /* limit to be asked also, or 0 */
	__u8 scope; /* enum limit_scope */
	__u8 observe;
	__u8 v4_length; /* of the source prefix that shares a bucket, 0..32 */
	__u8 v6_length; /* 48..128 */
};

/*
 * Source and destination tables (IPv4, then IPv6). Values are u16.
 *
 * IPv4: index[address >> 16] is INDEX_VALUE | value, or where in `ranges` its ranges
 * begin: first their count, then entries `start << 16 | value` sorted by `start`, the low
 * 16 bits of the first address; the first entry's is 0.
 *
 * IPv6: index[upper 19 bits] likewise; ranges are u64 entries `start << 19 | value`, with
 * start the 45 bits that follow, sorted, behind a count. Where RANGE6_DEEP is set, the
 * value numbers a deep table: `deep[n]` says where in
 * `tails` the ranges over the lower 64 bits begin: count, then pairs of u64 start, u64 value.
 */
#define INDEX_VALUE (1u << 31)
#define RANGE6_DEEP (1u << 18)

struct policy_bounds {
	__u32 size; /* of the whole value */
	__u32 results, results_count; /* struct source_result[]; each first number is an offset in bytes */
	__u32 source4_index, source4_ranges, source4_count; /* u32[1 << 16], u32[count] */
	__u32 source6_index, source6_ranges, source6_count; /* u32[1 << 19], u64[count] */
	__u32 source6_deep, source6_deep_count; /* u32[count] */
	__u32 source6_tails, source6_tails_count; /* u64[count] */
	__u32 destination4_index, destination4_ranges, destination4_count; /* value: class of FIELD_DESTINATION */
	__u32 destination6_index, destination6_ranges, destination6_count;
	__u32 destination6_deep, destination6_deep_count;
	__u32 destination6_tails, destination6_tails_count;
	__u32 sets, sets_count; /* struct class_set[]; classes of all fields, class n of a field at policy.first_set[field] + n */
};

struct policy {
	__u32 abi;
	__u32 features; /* enum policy_feature */
	__u32 fields; /* enum policy_field */
	__u8 digest[32]; /* SHA-256 of what it was compiled from */
	__u8 default_action; /* POLICY_PASS or POLICY_DROP */
	__u8 every_packet_count;
	__u16 every_packet[MAX_EVERY_PACKET]; /* limits that each packet takes which is not trusted or passed before */
	__u8 reserved[10];
	__u32 first_set[FIELDS]; /* by bit number of enum policy_field */
	__u64 observed_rules[RULE_WORDS]; /* rules in observe mode */
	struct policy_list lists[MAX_LISTS];
	struct policy_limit limits[MAX_LIMITS];
	struct policy_part rules[MAX_RULES];
	struct policy_part services[MAX_SERVICES];
	__u8 protocol_class[256];
	__u8 tcp_flags_class[256];
	__u8 icmp_type_class[512]; /* ICMP, then ICMPv6 */
	__u8 fragment_class[4]; /* enum policy_fragment */
	__u8 no_port_class[4]; /* reserved */
	__u16 vlan_class[4096 + 8]; /* outermost tag; 4096: untagged */
	__u16 source_port_class[65536 + 8]; /* 65536: has none, or is a later fragment */
	__u16 destination_port_class[65536 + 8];
	__u8 length_class[65536]; /* of the frame; longer ones as 65535 */
};

#endif
