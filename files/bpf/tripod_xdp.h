/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/*
 * What the XDP program and user space say to each other beside the policy and the
 * samples. User space reads these types from the object's BTF, so every name and number
 * is written here only.
 */
#ifndef TRIPOD_XDP_H
#define TRIPOD_XDP_H

#include "tripod_policy.h"

#include <linux/bpf.h>
#include <linux/types.h>

/* The verdict is the kernel's enum xdp_action, of which five exist. */
#define VERDICT_SLOTS 8
#define REASON_SLOTS 16

#define MAX_BANS 65536
#define MAX_SOCKETS 64

/* Who wrote a policy entry; nobody removes another owner's. */
enum tripod_owner {
	OWNER_INVENTORY = 1,
	OWNER_API = 2,
	OWNER_FEED = 3,
};

enum tripod_reason {
	REASON_NO_RULE, /* nothing matched, and the default passes */
	REASON_LIST_PASS,
	REASON_LIST_DROP,
	REASON_NOT_IP,
	/* Truncated, self-contradicting, or a first fragment without its whole TCP header. */
	REASON_MALFORMED,
	REASON_TRUSTED,
	REASON_RULE_PASS,
	REASON_RULE_DROP,
	REASON_LIMIT,
	REASON_SERVICE_PASS,
	REASON_SERVICE_DROP,
	REASON_BAN,
	REASON_SYN_COOKIE,
	REASON_AFXDP,
	REASON_DEFAULT, /* nothing matched, and the default drops */
};

/* Slots of `extensions`, for programs of others. */
enum tripod_extension {
	EXTENSION_BEFORE, /* called by `tripod_entry`; goes on with a tail call of EXTENSION_OURS */
	EXTENSION_OURS, /* the program that judges */
	EXTENSION_AFTER, /* called for what ours passes, where `extended` is set; its verdict holds */
};
#define EXTENSION_SLOTS 3

/* One slot per verdict and reason, at index verdict * REASON_SLOTS + reason. */
struct counter {
	__u64 packets;
	__u64 bytes; /* length of the frame as the program sees it, Ethernet header included */
};

/* What a list, rule, limit or service has met, on one CPU. */
struct hit {
	__u64 packets;
	__u64 bytes;
	__u64 observed_packets; /* that it would have met, in observe mode */
	__u64 observed_bytes;
	__u64 last; /* jiffies64 of either */
};

/*
 * Token buckets, four in a cache line. In the first SOURCE_LINES a source may have any place of the line that its key
 * names; behind them are those of limits for all and of services, two for each slot of `hits`: line SOURCE_LINES + slot / 2.
 */
#define SOURCE_LINE_BITS 14
#define SOURCE_LINES (1 << SOURCE_LINE_BITS)
#define BUCKET_LINES (SOURCE_LINES + MAX_HITS / 2)
#define BUCKET_WAYS 4
struct bucket {
	__u64 key; /* hash of the source, its limit and a secret; 0: none */
	__u64 arrival;
};

struct bucket_line {
	struct bucket ways[BUCKET_WAYS];
};

/* A banned address, IPv4 as ::ffff:a.b.c.d. */
struct ban_key {
	__be64 upper;
	__be64 lower;
};

struct ban {
	__u64 until; /* ns of CLOCK_BOOTTIME; it holds before that */
	__u64 packets; /* that it dropped; written by the program */
	__u8 owner; /* enum tripod_owner */
	__u8 reserved[7];
};

enum limit_outcome {
	OUTCOME_CONFORMED = 1,
	OUTCOME_EXCEEDED = 2,
	OUTCOME_OBSERVED = 3, /* exceeded, in observe mode */
};

struct asked_limit {
	__u16 slot;
	__u8 outcome; /* enum limit_outcome */
	__u8 reserved;
};

/* Every limit that one packet can meet: a list's, a rule's, four of every packet, a service's, two buckets each. */
#define TRACE_SERVICE_LIMIT 12
#define TRACE_LIMITS (TRACE_SERVICE_LIMIT + 2)

/*
 * What became of the last packet, and by whose word; written only where `tracing` is set.
 * Parts are named by their slot of `hits`; 0: none.
 */
struct trace_record {
	enum xdp_action verdict;
	enum tripod_reason reason;
	enum xdp_action would; /* of the first part in observe mode that had a say; 0: none */
	enum tripod_reason would_reason;
	__u64 now; /* jiffies64 */
	__u64 time; /* ns of CLOCK_BOOTTIME at the same moment */
	__u32 length;
	__u16 slot, would_slot; /* as in struct sample */
	__u16 list, observed_list; /* enforced and observed winner of the lists */
	__u16 rule, observed_rule;
	__u16 service;
	__u8 trusted, banned; /* 1 or 0 */
	__u16 network_offset; /* bytes from the start of the frame; 0 where there is no IP header */
	__u16 transport_offset; /* 0 where no transport header was reached */
	__u16 source_port, destination_port; /* 0 where there are none */
	__u16 vlan; /* of the outermost tag; 4096 where there is none */
	__u8 vlan_tags;
	__u8 family; /* of the source: 4 or 6, 4 also for ::ffff:a.b.c.d that is dropped as a.b.c.d; 0 where it is unknown */
	__u8 protocol; /* transport protocol; 0 where unknown */
	__u8 fragment; /* enum policy_fragment */
	__u8 tcp_flags; /* 0 where there are none */
	__u8 icmp_type; /* 0 where there is none */
	__u8 source[16]; /* network byte order; IPv4 uses the first four bytes */
	__u8 destination[16];
	struct asked_limit limits[TRACE_LIMITS]; /* in the order in which they were asked; a service's in their own places */
	enum limit_outcome last_outcome; /* of the last one that was asked; 0: none was */
};

#endif
