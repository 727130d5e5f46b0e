/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/*
 * Steps over headers of any number, by bpf_loop: honest packets have none of them, so the path of all others stays short,
 * and an attacker gains nothing by one more than is followed. They read by the helper, as the verifier follows no pointer as
 * far into a packet as a frame of MTU 65535 is long.
 */
#ifndef TRIPOD_WALKS_H
#define TRIPOD_WALKS_H

#include "tripod_policy.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* The stack strips any number of priority tags; this is more than the longest frame of any MTU holds. */
#define MAX_VLAN_TAGS 16384
/* As many as fit into the longest packet. */
#define MAX_EXTENSION_HEADERS 8192
#define FRAGMENT_OFFSET_V6 0xfff8
#define MORE_FRAGMENTS_V6 0x0001

/* Numbers of linux/in6.h, which cannot be included beside linux/in.h for BPF. */
#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_AUTH 51
#define NEXT_DESTINATION 60
#define NEXT_MOBILITY 135

struct vlan_tag {
	__be16 control;
	__be16 ethertype;
};

/* Where stepping over the tags that are not common ones has come to. */
struct tag_walk {
	struct xdp_md *ctx;
	__u32 offset;
	__be16 ethertype;
};

struct extension_header {
	__u8 next;
	__u8 length; /* in units of 8 bytes beyond the first 8; of 4 bytes beyond 8 for AH */
	__be16 fragment; /* of a fragment header: offset in units of 8 bytes in the upper 13 bits, and whether more follow */
	__be32 id;
};

struct extension_walk {
	struct xdp_md *ctx;
	__u32 offset;
	__u32 fragment; /* enum policy_fragment */
	__u8 next;
	bool truncated;
};

static __always_inline bool is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/* Step over one tag; return 1 where there is none to step over, which ends the walk. */
static long step_over_tag(__u32 index, void *data)
{
	struct tag_walk *walk = data;
	struct vlan_tag tag;

	(void)index;
	if (!is_vlan(walk->ethertype) || bpf_xdp_load_bytes(walk->ctx, walk->offset, &tag, sizeof(tag)))
		return 1;
	walk->ethertype = tag.ethertype;
	walk->offset += sizeof(tag);
	return 0;
}

static __always_inline bool is_extension(__u8 next)
{
	return next == NEXT_HOP_BY_HOP || next == NEXT_ROUTING || next == NEXT_FRAGMENT || next == NEXT_AUTH ||
	       next == NEXT_DESTINATION || next == NEXT_MOBILITY;
}

/* Step over one extension header; return 1 where there is none to step over, which ends the walk. */
static long step_over_extension(__u32 index, void *data)
{
	struct extension_walk *walk = data;
	struct extension_header header;
	__u8 kind = walk->next;
	__u32 size;

	(void)index;
	if (!is_extension(kind))
		return 1;
	if (bpf_xdp_load_bytes(walk->ctx, walk->offset, &header, sizeof(header))) {
		walk->truncated = true;
		return 1;
	}
	size = sizeof(header);
	if (kind == NEXT_AUTH)
		size += header.length * 4;
	else if (kind != NEXT_FRAGMENT)
		size += header.length * 8;
	walk->next = header.next;
	walk->offset += size;
	if (kind != NEXT_FRAGMENT)
		return 0;
	if (header.fragment & bpf_htons(FRAGMENT_OFFSET_V6)) {
		walk->fragment = FRAGMENT_LATER;
		return 1;
	}
	if (header.fragment & bpf_htons(MORE_FRAGMENTS_V6))
		walk->fragment = FRAGMENT_FIRST;
	return 0;
}

#endif
