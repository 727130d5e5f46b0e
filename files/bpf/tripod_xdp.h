/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/*
 * What the XDP program and user space say to each other. User space reads these
 * types from the object's BTF, so every name and number is written here only.
 */
#ifndef TRIPOD_XDP_H
#define TRIPOD_XDP_H

#include <linux/bpf.h>
#include <linux/types.h>

#define ACL_MAX_ENTRIES 131072

/* The verdict is the kernel's enum xdp_action, of which five exist. */
#define VERDICT_SLOTS 8
#define REASON_SLOTS 16

enum tripod_action {
	ACTION_PASS = 1,
	ACTION_DROP = 2,
};

/* Who wrote a policy entry; nobody removes another owner's. */
enum tripod_owner {
	OWNER_INVENTORY = 1,
	OWNER_API = 2,
};

enum tripod_reason {
	REASON_NO_RULE,
	REASON_ACL_PASS,
	REASON_ACL_DROP,
	REASON_NOT_IP,
	/* Truncated, self-contradicting, or nested deeper than the parser follows. */
	REASON_MALFORMED,
};

/* Keys of the longest-prefix tries; addresses in network byte order. */
struct acl_key_v4 {
	__u32 prefixlen;
	__u8 addr[4];
};

struct acl_key_v6 {
	__u32 prefixlen;
	__u8 addr[16];
};

/* A lookup does not tell how long the matching prefix was, so the rule repeats it. */
struct acl_rule {
	__u8 action; /* enum tripod_action */
	__u8 owner; /* enum tripod_owner */
	__u8 prefix_len;
	__u8 reserved;
};

/* One slot per verdict and reason, at index verdict * REASON_SLOTS + reason. */
struct counter {
	__u64 packets;
	__u64 bytes; /* length of the frame as the program sees it, Ethernet header included */
};

/* What became of the last packet; written only where `tracing` is set. */
struct trace_record {
	enum xdp_action verdict;
	enum tripod_reason reason;
	enum tripod_action action; /* of the matching rule; 0 where none matched */
	enum tripod_owner owner; /* of the matching rule; 0 where none matched */
	__u32 prefix_len; /* of the matching rule */
	__u16 network_offset; /* bytes from the start of the frame; 0 where there is no IP header */
	__u16 transport_offset; /* 0 where no transport header was reached */
	__u8 family; /* of the source: 4 or 6, 4 also for ::ffff:a.b.c.d that a rule for a.b.c.d drops; 0 where it is unknown */
	__u8 protocol; /* transport protocol; 0 where unknown */
	__u8 vlan_tags;
	__u8 reserved;
	__u8 source[16]; /* network byte order; IPv4 uses the first four bytes */
};

#endif
