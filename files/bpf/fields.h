/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* The fields of a packet that only rules, services and trusted flows look at: read where there are any. */
#ifndef TRIPOD_FIELDS_H
#define TRIPOD_FIELDS_H

#include "parse.h"

/* Where in the tables of struct policy the values of a field end. */
#define NO_PORT 65536
#define NO_TCP_FLAGS 256
#define NO_ICMP_TYPE 512
#define NO_VLAN 4096
#define VLAN_ID 0x0fff

/* Indices into the tables of struct policy. */
struct transport {
	__u64 source_port;
	__u64 destination_port;
	__u64 tcp_flags;
	__u64 icmp_type;
};

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

static __always_inline void read_ports(struct xdp_md *ctx, struct packet *p, struct transport *t)
{
	struct tcphdr *tcp;
	struct udphdr *udp;
	__u8 *icmp;

	switch (p->protocol) {
	case IPPROTO_TCP:
		tcp = header_at(ctx, p->transport_offset, sizeof(*tcp));
		if (!tcp)
			return;
		t->source_port = bpf_ntohs(tcp->source);
		t->destination_port = bpf_ntohs(tcp->dest);
		t->tcp_flags = ((__u8 *)tcp)[13];
		return;
	case IPPROTO_UDP:
		udp = header_at(ctx, p->transport_offset, sizeof(*udp));
		if (!udp)
			return;
		t->source_port = bpf_ntohs(udp->source);
		t->destination_port = bpf_ntohs(udp->dest);
		return;
	case IPPROTO_ICMP:
	case NEXT_ICMPV6:
		icmp = header_at(ctx, p->transport_offset, ICMP_HEADER_SIZE);
		if (icmp)
			t->icmp_type = *icmp + (p->protocol == NEXT_ICMPV6 ? 256 : 0);
	}
}

/* Fields of the transport header of a whole packet. Later fragments might have had any, which parts may say that they match. */
static __always_inline void read_transport(struct xdp_md *ctx, struct packet *p, struct transport *t)
{
	__u32 lack = p->fragment == FRAGMENT_LATER ? IN_LATER_FRAGMENT : WITHOUT;

	t->source_port = NO_PORT + lack;
	t->destination_port = NO_PORT + lack;
	t->tcp_flags = NO_TCP_FLAGS + lack;
	t->icmp_type = NO_ICMP_TYPE + lack;
	if (p->fragment != FRAGMENT_LATER)
		read_ports(ctx, p, t);
	t->source_port = forget(t->source_port, p);
	t->destination_port = forget(t->destination_port, p);
	t->tcp_flags = forget(t->tcp_flags, p);
	t->icmp_type = forget(t->icmp_type, p);
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
		return v4 ? mapped(v4->daddr) : none;
	}
	v6 = header_at(ctx, p->network_offset, sizeof(*v6));
	return v6 ? address6(&v6->daddr) : none;
}

#endif
