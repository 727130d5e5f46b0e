/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* Fields of a packet that few policies look at: read where one does. */
#ifndef TRIPOD_FIELDS_H
#define TRIPOD_FIELDS_H

#include "parse.h"

#define VLAN_ID 0x0fff

/* A header that has been parsed, at an offset that the verifier has forgotten; NULL where it is beyond what is parsed. */
static __always_inline void *header_at(struct xdp_md *ctx, __u32 at, __u32 size)
{
	void *start = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	barrier_var(at);
	if (at > MAX_FRAME_OFFSET + MAX_IP_HEADER)
		return NULL;
	start += at;
	return start + size > end ? NULL : start;
}

/* Number of the outermost tag. */
static __always_inline __u64 read_vlan(struct xdp_md *ctx)
{
	struct ethernet_header *eth = header_at(ctx, 0, sizeof(*eth) + sizeof(struct vlan_tag));
	struct vlan_tag *tag = (void *)(eth + 1);

	return eth && is_vlan(eth->ethertype) ? bpf_ntohs(tag->control) & VLAN_ID : NO_VLAN;
}

static __always_inline struct address read_destination(struct xdp_md *ctx, struct packet *p)
{
	struct address none = {};
	struct ipv6hdr *v6;
	struct iphdr *v4;

	if (p->family == 4) {
		v4 = header_at(ctx, p->network_offset, sizeof(*v4));
		none.lower = v4 ? bpf_ntohl(v4->daddr) : 0;
		return none;
	}
	v6 = header_at(ctx, p->network_offset, sizeof(*v6));
	return v6 ? address6(&v6->daddr) : none;
}

#endif
