/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* From the bytes of a frame to the fields that a policy looks at. */
#ifndef TRIPOD_PARSE_H
#define TRIPOD_PARSE_H

#include "tripod_policy.h"
#include "tripod_xdp.h"
#include "walks.h"

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* Tags that are stepped over without a call, which is all that real networks have. */
#define COMMON_VLAN_TAGS 2
/* How far from its start a frame is parsed. Headers of 16 kB are nothing that an honest sender makes. */
#define MAX_FRAME_OFFSET 0x3fff
#define VLAN_ID 0x0fff
#define FRAGMENT_OFFSET 0x1fff
#define MORE_FRAGMENTS 0x2000
/* ICMP and ICMPv6 alike; linux/icmp.h pulls in libc, which has no BPF build. */
#define ICMP_HEADER_SIZE 8
/* Of linux/in6.h, which cannot be included beside linux/in.h for BPF. */
#define NEXT_ICMPV6 58

/* Indices into the tables of struct policy for packets that lack the field. */
#define NO_PORT 65536
#define NO_TCP_FLAGS 256
#define NO_ICMP_TYPE 512
#define NO_VLAN 4096

struct cursor {
	void *start;
	void *pos;
	void *end; /* of the first buffer */
	__u32 missed; /* where a header would have ended that is not in it */
};

/* In host order; IPv4 as ::ffff:a.b.c.d. */
struct address {
	__u64 upper;
	__u64 lower;
};

/* What parsing found; family is 0 until the addresses are known. */
struct packet {
	struct address source;
	struct address destination;
	__u64 unknown; /* see forget() */
	__u32 length; /* of the frame, all buffers */
	__u32 end; /* of the IP packet, as its header states it, in bytes from the start of the frame */
	__u32 network_offset;
	__u32 transport_offset;
	/* Indices into the tables of struct policy. */
	__u32 source_port;
	__u32 destination_port;
	__u32 tcp_flags;
	__u32 icmp_type;
	__u32 vlan;
	__u32 fragment;
	__u8 family;
	__u8 protocol;
	__u8 vlan_tags;
	bool evasive; /* malformed in a way that the stack does not mind */
};

/*
 * A number that the verifier is to know nothing about: it follows every value that it knows on a path of its own, up to a
 * million instructions.
 */
static __always_inline __u64 forget(__u64 value, const struct packet *p)
{
	__u64 same = p->unknown;

	barrier_var(same);
	return value + (p->unknown - same);
}

/* Step over `size` bytes and return where they start, or NULL where the packet ends before. */
static __always_inline void *take(struct cursor *c, __u32 size)
{
	void *header = c->pos;

	if (header + size > c->end) {
		c->missed = header + size - c->start;
		return NULL;
	}
	c->pos = header + size;
	return header;
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
	if (to > MAX_FRAME_OFFSET)
		return false;
	c->pos = c->start + to;
	return true;
}

/* Whether a header that begins here lies within the packet as its IP header states it; behind that is padding. */
static __always_inline bool holds(const struct packet *p, __u32 size)
{
	return p->transport_offset + size <= p->end;
}

static __always_inline enum tripod_reason parse_tcp(struct cursor *c, struct packet *p)
{
	struct tcphdr *tcp;

	if (!holds(p, sizeof(*tcp))) {
		p->evasive = p->fragment == FRAGMENT_FIRST;
		return REASON_MALFORMED;
	}
	tcp = take(c, sizeof(*tcp));
	if (!tcp || tcp->doff * 4 < sizeof(*tcp))
		return REASON_MALFORMED;
	p->source_port = bpf_ntohs(tcp->source);
	p->destination_port = bpf_ntohs(tcp->dest);
	p->tcp_flags = ((__u8 *)tcp)[13];
	return REASON_NO_RULE;
}

static __always_inline enum tripod_reason parse_transport(struct cursor *c, struct packet *p)
{
	struct udphdr *udp;
	__u8 *icmp;

	p->transport_offset = offset(c);
	switch (p->protocol) {
	case IPPROTO_TCP:
		return parse_tcp(c, p);
	case IPPROTO_UDP:
		udp = take(c, sizeof(*udp));
		if (!udp || !holds(p, sizeof(*udp)))
			return REASON_MALFORMED;
		p->source_port = bpf_ntohs(udp->source);
		p->destination_port = bpf_ntohs(udp->dest);
		return REASON_NO_RULE;
	case IPPROTO_ICMP:
	case NEXT_ICMPV6:
		icmp = take(c, ICMP_HEADER_SIZE);
		if (!icmp || !holds(p, ICMP_HEADER_SIZE))
			return REASON_MALFORMED;
		p->icmp_type = *icmp + (p->protocol == NEXT_ICMPV6 ? 256 : 0);
		return REASON_NO_RULE;
	default:
		return REASON_NO_RULE;
	}
}

/* Only the first fragment carries the transport header; parts that look at it may still want the later ones. */
static __always_inline enum tripod_reason later_fragment(struct packet *p)
{
	p->fragment = FRAGMENT_LATER;
	p->source_port = NO_PORT + IN_LATER_FRAGMENT;
	p->destination_port = NO_PORT + IN_LATER_FRAGMENT;
	p->tcp_flags = NO_TCP_FLAGS + IN_LATER_FRAGMENT;
	p->icmp_type = NO_ICMP_TYPE + IN_LATER_FRAGMENT;
	return REASON_NO_RULE;
}

static __always_inline struct address mapped(__be32 v4)
{
	struct address address = { .lower = 0xffff00000000ull | bpf_ntohl(v4) };

	return address;
}

static __always_inline enum tripod_reason parse_ipv4(struct cursor *c, struct packet *p)
{
	__u32 network = offset(c);
	struct iphdr *ip = take(c, sizeof(*ip));
	__u32 header_length;

	if (!ip || ip->version != 4)
		return REASON_MALFORMED;
	p->network_offset = network;
	p->family = 4;
	p->protocol = ip->protocol;
	p->source = mapped(ip->saddr);
	p->destination = mapped(ip->daddr);

	header_length = ip->ihl * 4;
	p->end = network + bpf_ntohs(ip->tot_len);
	if (header_length < sizeof(*ip) || network + header_length > p->end || p->end > p->length)
		return REASON_MALFORMED;
	if (header_length > sizeof(*ip) && !jump(c, network + header_length)) {
		p->evasive = true;
		return REASON_MALFORMED;
	}
	if (ip->frag_off & bpf_htons(FRAGMENT_OFFSET))
		return later_fragment(p);
	if (ip->frag_off & bpf_htons(MORE_FRAGMENTS))
		p->fragment = FRAGMENT_FIRST;
	return parse_transport(c, p);
}

/* Few packets have extension headers, and those that have many are attacks: a loop by call keeps the path of all others short. */
static __always_inline enum tripod_reason parse_extensions(struct xdp_md *ctx, struct cursor *c, struct packet *p)
{
	struct extension_walk walk = { .ctx = ctx, .offset = offset(c), .next = p->protocol };

	bpf_loop(MAX_EXTENSION_HEADERS, step_over_extension, &walk, 0);
	if (walk.truncated || walk.offset > p->end)
		return REASON_MALFORMED;
	p->protocol = walk.next;
	if (!jump(c, walk.offset)) {
		p->evasive = true;
		return REASON_MALFORMED;
	}
	if (walk.fragment == FRAGMENT_LATER)
		return later_fragment(p);
	p->fragment = walk.fragment == FRAGMENT_FIRST ? FRAGMENT_FIRST : FRAGMENT_NONE;
	return parse_transport(c, p);
}

static __always_inline void read_ipv6(const struct ipv6hdr *ip, struct packet *p)
{
	const __be64 *source = (const void *)&ip->saddr, *destination = (const void *)&ip->daddr;

	p->family = 6;
	p->source.upper = bpf_be64_to_cpu(source[0]);
	p->source.lower = bpf_be64_to_cpu(source[1]);
	p->destination.upper = bpf_be64_to_cpu(destination[0]);
	p->destination.lower = bpf_be64_to_cpu(destination[1]);
}

static __always_inline enum tripod_reason parse_ipv6(struct xdp_md *ctx, struct cursor *c, struct packet *p)
{
	__u32 network = offset(c);
	struct ipv6hdr *ip = take(c, sizeof(*ip));

	if (!ip || ip->version != 6)
		return REASON_MALFORMED;
	p->network_offset = network;
	read_ipv6(ip, p);
	p->end = network + sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (p->end > p->length)
		return REASON_MALFORMED;
	p->protocol = ip->nexthdr;
	if (is_extension(p->protocol))
		return parse_extensions(ctx, c, p);
	return parse_transport(c, p);
}

/* Read the source of a packet behind so many tags that no honest sender made them; nothing else of it is looked at. */
static __always_inline enum tripod_reason parse_source(const struct tag_walk *walk, struct packet *p)
{
	struct ipv6hdr v6;
	struct iphdr v4;

	switch (walk->ethertype) {
	case bpf_htons(ETH_P_IP):
		if (bpf_xdp_load_bytes(walk->ctx, walk->offset, &v4, sizeof(v4)) || v4.version != 4)
			return REASON_MALFORMED;
		p->family = 4;
		p->source = mapped(v4.saddr);
		break;
	case bpf_htons(ETH_P_IPV6):
		if (bpf_xdp_load_bytes(walk->ctx, walk->offset, &v6, sizeof(v6)) || v6.version != 6)
			return REASON_MALFORMED;
		read_ipv6(&v6, p);
		break;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return REASON_MALFORMED;
	default:
		return REASON_NOT_IP;
	}
	p->network_offset = walk->offset;
	p->evasive = true;
	return REASON_MALFORMED;
}

static __always_inline enum tripod_reason parse_frame(struct xdp_md *ctx, struct cursor *c, struct packet *p)
{
	struct ethhdr *eth = take(c, sizeof(*eth));
	struct tag_walk walk = { .ctx = ctx };
	struct vlan_tag *tag;
	__be16 ethertype;
	int i;

	if (!eth)
		return REASON_MALFORMED;
	ethertype = eth->h_proto;
	for (i = 0; i < COMMON_VLAN_TAGS && is_vlan(ethertype); i++) {
		tag = take(c, sizeof(*tag));
		if (!tag)
			return REASON_MALFORMED;
		if (!i)
			p->vlan = bpf_ntohs(tag->control) & VLAN_ID;
		ethertype = tag->ethertype;
		p->vlan_tags++;
	}
	if (p->vlan_tags) {
		walk.offset = offset(c);
		walk.ethertype = ethertype;
		if (is_vlan(ethertype))
			bpf_loop(MAX_VLAN_TAGS, step_over_tag, &walk, 0);
		p->vlan_tags += walk.tags > 200 ? 200 : walk.tags;
		if (!jump(c, walk.offset))
			return parse_source(&walk, p);
		ethertype = walk.ethertype;
	}
	switch (ethertype) {
	case bpf_htons(ETH_P_IP):
		return parse_ipv4(c, p);
	case bpf_htons(ETH_P_IPV6):
		return parse_ipv6(ctx, c, p);
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return REASON_MALFORMED;
	default:
		return REASON_NOT_IP;
	}
}

/* As forget(), so that all ways through the parser go on as one. */
static __always_inline void forget_fields(struct packet *p)
{
	__u64 nothing = forget(0, p);

	p->source.upper += nothing;
	p->source.lower += nothing;
	p->destination.upper += nothing;
	p->destination.lower += nothing;
	p->length += nothing;
	p->network_offset += nothing;
	p->transport_offset += nothing;
	p->source_port += nothing;
	p->destination_port += nothing;
	p->tcp_flags += nothing;
	p->icmp_type += nothing;
	p->vlan += nothing;
	p->fragment += nothing;
	p->family += nothing;
	p->protocol += nothing;
}

/* Return REASON_NO_RULE for an IP packet that is whole, else why it is not judged as one. */
static __always_inline enum tripod_reason parse(struct xdp_md *ctx, struct packet *p)
{
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	enum tripod_reason reason;

	p->source_port = NO_PORT;
	p->destination_port = NO_PORT;
	p->tcp_flags = NO_TCP_FLAGS;
	p->icmp_type = NO_ICMP_TYPE;
	p->vlan = NO_VLAN;
	reason = parse_frame(ctx, &c, p);
	/* Headers that go on in another buffer: honest ones are shorter than any driver's first. */
	if (reason == REASON_MALFORMED && c.missed && c.missed <= p->length)
		p->evasive = true;
	forget_fields(p);
	return forget(reason, p);
}

#endif
