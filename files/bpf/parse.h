/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* From the bytes of a frame to the fields that a policy looks at. */
#ifndef TRIPOD_PARSE_H
#define TRIPOD_PARSE_H

#include "packet.h"
#include "walks.h"

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Tags that are stepped over without a call, which is all that real networks have. */
#define COMMON_VLAN_TAGS 2
/* How far from its start a frame is parsed. Headers of 16 kB are nothing that an honest sender makes. */
#define MAX_FRAME_OFFSET 0x3fff
#define PLAIN_IPV4 0x45 /* version 4, no options */
#define FRAGMENT_OFFSET 0x1fff
#define MORE_FRAGMENTS 0x2000
/* ICMP and ICMPv6 alike, and UDP; linux/icmp.h pulls in libc, which has no BPF build. */
#define ICMP_HEADER_SIZE 8
#define MAX_IP_HEADER 60
/* Of linux/in6.h, which cannot be included beside linux/in.h for BPF. */
#define NEXT_ICMPV6 58

struct cursor {
	void *start;
	void *pos;
	void *end; /* of the first buffer */
	__u32 missed; /* where a header ends that is not in it, or too far away */
};

/* As that of linux/if_ether.h, which is packed, so that it would be read byte by byte. */
struct ethernet_header {
	__u8 destination[ETH_ALEN];
	__u8 source[ETH_ALEN];
	__be16 ethertype;
};

/* Step over a header of `size` bytes; return whether all of it is there. */
static __always_inline bool step(struct cursor *c, __u32 size)
{
	if (c->pos + size > c->end) {
		c->missed = c->pos + size - c->start;
		return false;
	}
	c->pos += size;
	return true;
}

static __always_inline __u32 offset(const struct cursor *c)
{
	return c->pos - c->start;
}

/*
 * Go to an offset that was read from the packet. clang knows where it came from and drops
 * checks that the verifier cannot follow; the barrier makes it keep the one the verifier needs.
 */
static __always_inline bool jump(struct cursor *c, __u32 to)
{
	barrier_var(to);
	if (to > MAX_FRAME_OFFSET) {
		c->missed = to;
		return false;
	}
	c->pos = c->start + to;
	return true;
}

/* Whether what is here is a whole transport header, within the packet as its IP header states it: behind that is padding. */
static __always_inline bool parse_transport(struct cursor *c, struct packet *p, __u8 protocol, __u32 end)
{
	__u32 transport = offset(c);
	struct tcphdr *tcp = c->pos;
	struct udphdr *udp = c->pos;

	p->transport_offset = transport;
	switch (protocol) {
	case IPPROTO_TCP:
		if (transport + sizeof(struct tcphdr) > end) {
			p->evasive = p->fragment == FRAGMENT_FIRST;
			return false;
		}
		if (!step(c, sizeof(*tcp)) || tcp->doff * 4 < sizeof(*tcp))
			return false;
		p->destination_port = bpf_ntohs(tcp->dest);
		return true;
	case IPPROTO_UDP:
		if (transport + sizeof(*udp) > end || !step(c, sizeof(*udp)))
			return false;
		p->destination_port = bpf_ntohs(udp->dest);
		return true;
	case IPPROTO_ICMP:
	case NEXT_ICMPV6:
		return transport + ICMP_HEADER_SIZE <= end && step(c, ICMP_HEADER_SIZE);
	default:
		return true;
	}
}

/* Only the first fragment carries the transport header; parts that look at it may still want the later ones. */
static __always_inline bool later_fragment(struct packet *p)
{
	p->fragment = FRAGMENT_LATER;
	p->destination_port = NO_PORT + IN_LATER_FRAGMENT;
	return true;
}

static __always_inline bool parse_ipv4(struct cursor *c, struct packet *p)
{
	__u32 network = offset(c), header_length = sizeof(struct iphdr), end;
	struct iphdr *ip = c->pos;
	__u8 first, protocol;

	if (!step(c, sizeof(*ip)))
		return false;
	first = *(__u8 *)ip; /* version and length, 4 bits each */
	if (first >> 4 != 4)
		return false;
	protocol = ip->protocol;
	p->network_offset = network;
	p->family = 4;
	p->protocol = protocol;
	p->source.lower = bpf_ntohl(ip->saddr);

	end = network + bpf_ntohs(ip->tot_len);
	if (end > p->length)
		return false;
	if (first != PLAIN_IPV4) {
		header_length = (first & 0xf) * 4;
		if (header_length < sizeof(*ip) || !jump(c, network + header_length))
			return false;
	}
	if (network + header_length > end)
		return false;
	if (ip->frag_off & bpf_htons(FRAGMENT_OFFSET | MORE_FRAGMENTS)) {
		if (ip->frag_off & bpf_htons(FRAGMENT_OFFSET))
			return later_fragment(p);
		p->fragment = FRAGMENT_FIRST;
	}
	return parse_transport(c, p, protocol, end);
}

/* Few packets have extension headers, and those that have many are attacks: a loop by call keeps the path of all others short. */
static __always_inline bool parse_extensions(struct xdp_md *ctx, struct cursor *c, struct packet *p, __u32 end)
{
	struct extension_walk walk = { .ctx = ctx, .offset = offset(c), .next = p->protocol };

	bpf_loop(MAX_EXTENSION_HEADERS, step_over_extension, &walk, 0);
	if (walk.truncated || walk.offset > end)
		return false;
	p->protocol = walk.next;
	if (!jump(c, walk.offset))
		return false;
	if (walk.fragment == FRAGMENT_LATER)
		return later_fragment(p);
	p->fragment = walk.fragment;
	return parse_transport(c, p, walk.next, end);
}

static __always_inline bool parse_ipv6(struct xdp_md *ctx, struct cursor *c, struct packet *p)
{
	__u32 network = offset(c), end;
	struct ipv6hdr *ip = c->pos;

	if (!step(c, sizeof(*ip)))
		return false;
	if (*(__u8 *)ip >> 4 != 6)
		return false;
	p->network_offset = network;
	p->family = 6;
	p->protocol = ip->nexthdr;
	p->source = address6(&ip->saddr);
	end = network + sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (end > p->length)
		return false;
	if (is_extension(ip->nexthdr))
		return parse_extensions(ctx, c, p, end);
	return parse_transport(c, p, ip->nexthdr, end);
}

/* Whether a frame is a whole IP packet. */
static __always_inline bool parse_frame(struct xdp_md *ctx, struct cursor *c, struct packet *p)
{
	struct ethernet_header *eth = c->pos;
	struct vlan_tag *tag;
	__be16 ethertype;
	int i;

	if (!step(c, sizeof(*eth)))
		return false;
	ethertype = eth->ethertype;
	for (i = 0; i < COMMON_VLAN_TAGS && is_vlan(ethertype); i++) {
		tag = c->pos;
		if (!step(c, sizeof(*tag)))
			return false;
		ethertype = tag->ethertype;
	}
	if (i) {
		struct tag_walk walk = { .ctx = ctx, .offset = offset(c), .ethertype = ethertype };

		if (is_vlan(ethertype))
			bpf_loop(MAX_VLAN_TAGS, step_over_tag, &walk, 0);
		ethertype = walk.ethertype;
		if (!jump(c, walk.offset))
			return false;
	}
	if (ethertype == bpf_htons(ETH_P_IP))
		return parse_ipv4(c, p);
	if (ethertype == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(ctx, c, p);
	if (!is_vlan(ethertype))
		p->reason = REASON_NOT_IP;
	return false;
}

/* Read the source of a packet whose headers begin where no honest sender puts them; nothing else of it is looked at. */
static __always_inline enum tripod_reason parse_source(struct xdp_md *ctx, struct packet *p)
{
	struct tag_walk walk = { .ctx = ctx, .offset = sizeof(struct ethernet_header) };
	struct ipv6hdr v6;
	struct iphdr v4;

	if (bpf_xdp_load_bytes(ctx, 2 * ETH_ALEN, &walk.ethertype, sizeof(walk.ethertype)))
		return REASON_MALFORMED;
	bpf_loop(MAX_VLAN_TAGS, step_over_tag, &walk, 0);
	switch (walk.ethertype) {
	case bpf_htons(ETH_P_IP):
		if (bpf_xdp_load_bytes(ctx, walk.offset, &v4, sizeof(v4)) || v4.version != 4)
			return REASON_MALFORMED;
		p->family = 4;
		p->source.lower = bpf_ntohl(v4.saddr);
		break;
	case bpf_htons(ETH_P_IPV6):
		if (bpf_xdp_load_bytes(ctx, walk.offset, &v6, sizeof(v6)) || v6.version != 6)
			return REASON_MALFORMED;
		p->family = 6;
		p->source = address6(&v6.saddr);
		break;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return REASON_MALFORMED;
	default:
		return REASON_NOT_IP;
	}
	p->network_offset = walk.offset;
	return REASON_MALFORMED;
}

static __always_inline void parse_any(struct xdp_md *ctx, struct cursor *c, struct packet *p)
{
	p->network_offset = 0;
	p->transport_offset = 0;
	p->family = 0;
	p->protocol = 0;
	p->fragment = FRAGMENT_NONE;
	p->evasive = 0;
	p->reason = REASON_NO_RULE;
	p->destination_port = NO_PORT + WITHOUT;
	if (!parse_frame(ctx, c, p) && p->reason != REASON_NOT_IP) {
		p->reason = REASON_MALFORMED;
		/* The stack finds what is too far away for us, or behind the first buffer. */
		if (c->missed && c->missed <= p->length) {
			p->evasive = 1;
			if (!p->family)
				p->reason = parse_source(ctx, p);
		}
	}
	p->outcome = outcome(XDP_PASS, p->reason, 0);
	p->would = 0;
}

/*
 * Parse what nearly all packets are: whole ones of TCP and UDP, behind IPv4 without options. Return whether this is one; a
 * third of the instructions of parse_any(), which says the same of it.
 */
static __always_inline bool parse_plain(const struct cursor *c, struct packet *p)
{
	const __u32 network = sizeof(struct ethernet_header), transport = network + sizeof(struct iphdr);
	struct ethernet_header *eth = c->start;
	struct iphdr *ip = c->start + network;
	struct tcphdr *tcp = c->start + transport;
	__u8 protocol;
	__u32 end;

	if (c->start + transport + sizeof(struct udphdr) > c->end || eth->ethertype != bpf_htons(ETH_P_IP) ||
	    *(__u8 *)ip != PLAIN_IPV4 || ip->frag_off & bpf_htons(FRAGMENT_OFFSET | MORE_FRAGMENTS))
		return false;
	end = network + bpf_ntohs(ip->tot_len);
	if (end > p->length || end < transport + sizeof(struct udphdr))
		return false;
	protocol = ip->protocol;
	if (protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > c->end || end < transport + sizeof(*tcp) || tcp->doff * 4 < sizeof(*tcp))
			return false;
	} else if (protocol != IPPROTO_UDP) {
		return false;
	}
	p->source.lower = bpf_ntohl(ip->saddr);
	p->network_offset = network;
	p->transport_offset = transport;
	p->family = 4;
	p->protocol = protocol;
	p->fragment = FRAGMENT_NONE;
	p->evasive = 0;
	p->reason = REASON_NO_RULE;
	p->outcome = outcome(XDP_PASS, REASON_NO_RULE, 0);
	p->would = 0;
	p->destination_port = bpf_ntohs(tcp->dest); /* of UDP alike */
	return true;
}

/* Return whether the packet is one of parse_plain(). */
static __always_inline bool parse(struct xdp_md *ctx, bool fragments, struct packet *p)
{
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	bool plain;

	p->length = fragments ? bpf_xdp_get_buff_len(ctx) : (__u64)(c.end - c.start);
	plain = parse_plain(&c, p);
	if (!plain)
		parse_any(ctx, &c, p);
	barrier(); /* or clang would keep what the verifier is to forget */
	return plain;
}

#endif
