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

/*
 * The first bytes of the transport header, where the packet has one of `protocol` or `other`; NULL where it has none. It
 * is whole: nothing looks at these fields of a packet that is malformed.
 */
static __always_inline void *transport_of(struct xdp_md *ctx, struct packet *p, __u8 protocol, __u8 other, __u32 size)
{
	if (p->fragment == FRAGMENT_LATER || (p->protocol != protocol && p->protocol != other))
		return NULL;
	return header_at(ctx, p->transport_offset, size);
}

/* What a packet has in a field without a value, whose values end at `values`. */
static __always_inline __u64 lacking(struct packet *p, __u32 values)
{
	return values + (p->fragment == FRAGMENT_LATER ? IN_LATER_FRAGMENT : WITHOUT);
}

static __always_inline __u64 read_source_port(struct xdp_md *ctx, struct packet *p)
{
	struct udphdr *udp = transport_of(ctx, p, IPPROTO_UDP, IPPROTO_TCP, sizeof(*udp)); /* of TCP alike */

	return udp ? bpf_ntohs(udp->source) : lacking(p, NO_PORT);
}

static __always_inline __u64 read_tcp_flags(struct xdp_md *ctx, struct packet *p)
{
	__u8 *tcp = transport_of(ctx, p, IPPROTO_TCP, IPPROTO_TCP, sizeof(struct tcphdr));

	return tcp ? tcp[13] : lacking(p, NO_TCP_FLAGS);
}

static __always_inline __u64 read_icmp_type(struct xdp_md *ctx, struct packet *p)
{
	__u8 *icmp = transport_of(ctx, p, IPPROTO_ICMP, NEXT_ICMPV6, ICMP_HEADER_SIZE);

	if (!icmp)
		return lacking(p, NO_ICMP_TYPE);
	return *icmp + (p->protocol == NEXT_ICMPV6 ? 256 : 0);
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
