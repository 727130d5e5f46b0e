// SPDX-License-Identifier: GPL-2.0-or-later
/* Copyright (c) 2026, Tripod contributors */

/*
 * Ingress filter: parse, ask the source ACL, count by verdict and reason.
 *
 * A packet that cannot be parsed is passed and counted: the stack behind judges
 * it. The one exception is safety of the ACL: as soon as the source address is
 * known, a drop rule holds however odd the rest of the packet is, or a blocked
 * source could get through with one extension header more than is followed here.
 */
#include "tripod_xdp.h"

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
/* The stack strips any number of priority tags; this is more than the longest frame of any MTU holds. */
#define MAX_VLAN_TAGS 16384
/* How far from its start a frame is parsed; behind more tags than that, its source is read and nothing else. */
#define MAX_FRAME_OFFSET 0x3fff
#define MAX_EXTENSION_HEADERS 8
/* An extension header: 255 units of 8 bytes beyond the first. */
#define MAX_VARIABLE_LENGTH 2048
#define FRAGMENT_OFFSET 0x1fff
#define FRAGMENT_OFFSET_V6 0xfff8
/* ICMP and ICMPv6 alike; linux/icmp.h pulls in libc, which has no BPF build. */
#define ICMP_HEADER_SIZE 8

/* Numbers of linux/in6.h, which cannot be included beside linux/in.h for BPF. */
#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_FRAGMENT 44
#define NEXT_AUTH 51
#define NEXT_ICMPV6 58
#define NEXT_NONE 59
#define NEXT_DESTINATION 60
#define NEXT_MOBILITY 135

/* Set before load in the tracer's twin only; elsewhere the verifier removes what it guards. */
const volatile bool tracing = false;

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ACL_MAX_ENTRIES);
	__type(key, struct acl_key_v4);
	__type(value, struct acl_rule);
} acl_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ACL_MAX_ENTRIES);
	__type(key, struct acl_key_v6);
	__type(value, struct acl_rule);
} acl_v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_SLOTS * REASON_SLOTS);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trace_record);
} trace SEC(".maps");

struct cursor {
	void *start;
	void *pos;
	void *end;
};

/* What parsing found; family is 0 until the source address is known. */
struct packet {
	__u8 source[16];
	__u16 network_offset;
	__u16 transport_offset;
	__u8 family;
	__u8 protocol;
	__u8 vlan_tags;
};

struct vlan_tag {
	__be16 control;
	__be16 ethertype;
};

/* Where stepping over the tags that are not common ones has come to. */
struct tag_walk {
	struct xdp_md *ctx;
	__u32 offset;
	__u32 tags;
	__be16 ethertype;
};

struct extension_header {
	__u8 next;
	__u8 length; /* in units of 8 bytes beyond the first 8; of 4 bytes beyond 8 for AH */
};

struct fragment_header {
	__u8 next;
	__u8 reserved;
	__be16 offset; /* the upper 13 bits */
	__be32 id;
};

/* Step over `size` bytes and return where they start, or NULL where the packet ends before. */
static __always_inline void *take(struct cursor *c, __u32 size)
{
	void *header = c->pos;

	if (header + size > c->end)
		return NULL;
	c->pos = header + size;
	return header;
}

/*
 * Step over a length read from the packet. clang knows its range and drops checks
 * that the verifier cannot follow; the barrier makes it keep the one the verifier needs.
 */
static __always_inline void *take_variable(struct cursor *c, __u32 size)
{
	barrier_var(size);
	if (size > MAX_VARIABLE_LENGTH)
		return NULL;
	return take(c, size);
}

/*
 * A length field in host order. Older verifiers (as of Linux 6.12) take a byte swap's result for any 64-bit number, and clang
 * drops a mask that changes nothing unless it has forgotten where the number came from.
 */
static __always_inline __u32 length_field(__be16 field)
{
	__u32 length = bpf_ntohs(field);

	barrier_var(length);
	return length & 0xffff;
}

static __always_inline __u16 offset(const struct cursor *c)
{
	return c->pos - c->start;
}

static __always_inline bool is_vlan(__be16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

static __always_inline enum tripod_reason parse_transport(struct cursor *c, struct packet *p)
{
	struct tcphdr *tcp;

	p->transport_offset = offset(c);
	switch (p->protocol) {
	case IPPROTO_TCP:
		tcp = take(c, sizeof(*tcp));
		return tcp && tcp->doff * 4 >= sizeof(*tcp) ? REASON_NO_RULE : REASON_MALFORMED;
	case IPPROTO_UDP:
		return take(c, sizeof(struct udphdr)) ? REASON_NO_RULE : REASON_MALFORMED;
	case IPPROTO_ICMP:
	case NEXT_ICMPV6:
		return take(c, ICMP_HEADER_SIZE) ? REASON_NO_RULE : REASON_MALFORMED;
	default:
		return REASON_NO_RULE;
	}
}

static __always_inline enum tripod_reason parse_ipv4(struct cursor *c, struct packet *p)
{
	__u16 network = offset(c);
	struct iphdr *ip = take(c, sizeof(*ip));
	__u32 header_length, total_length;

	if (!ip || ip->version != 4)
		return REASON_MALFORMED;
	p->network_offset = network;
	p->family = 4;
	p->protocol = ip->protocol;
	__builtin_memcpy(p->source, &ip->saddr, sizeof(ip->saddr));

	header_length = ip->ihl * 4;
	total_length = length_field(ip->tot_len);
	if (header_length < sizeof(*ip) || total_length < header_length)
		return REASON_MALFORMED;
	if ((void *)ip + total_length > c->end)
		return REASON_MALFORMED;
	if (!take_variable(c, header_length - sizeof(*ip)))
		return REASON_MALFORMED;
	/* Only the first fragment carries the transport header. */
	if (ip->frag_off & bpf_htons(FRAGMENT_OFFSET))
		return REASON_NO_RULE;
	return parse_transport(c, p);
}

static __always_inline enum tripod_reason parse_ipv6(struct cursor *c, struct packet *p)
{
	__u16 network = offset(c);
	struct ipv6hdr *ip = take(c, sizeof(*ip));
	struct extension_header *extension;
	struct fragment_header *fragment;
	__u8 next;
	int i;

	if (!ip || ip->version != 6)
		return REASON_MALFORMED;
	p->network_offset = network;
	p->family = 6;
	__builtin_memcpy(p->source, &ip->saddr, sizeof(ip->saddr));

	if (c->pos + length_field(ip->payload_len) > c->end)
		return REASON_MALFORMED;

	next = ip->nexthdr;
	for (i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
		switch (next) {
		case NEXT_FRAGMENT:
			fragment = take(c, sizeof(*fragment));
			if (!fragment)
				return REASON_MALFORMED;
			next = fragment->next;
			if (fragment->offset & bpf_htons(FRAGMENT_OFFSET_V6)) {
				p->protocol = next;
				return REASON_NO_RULE;
			}
			break;
		case NEXT_HOP_BY_HOP:
		case NEXT_ROUTING:
		case NEXT_DESTINATION:
		case NEXT_MOBILITY:
			extension = take(c, sizeof(*extension));
			if (!extension || !take_variable(c, extension->length * 8 + 8 - sizeof(*extension)))
				return REASON_MALFORMED;
			next = extension->next;
			break;
		case NEXT_AUTH:
			extension = take(c, sizeof(*extension));
			if (!extension || !take_variable(c, extension->length * 4 + 8 - sizeof(*extension)))
				return REASON_MALFORMED;
			next = extension->next;
			break;
		case NEXT_NONE:
			p->protocol = next;
			return REASON_NO_RULE;
		default:
			p->protocol = next;
			return parse_transport(c, p);
		}
	}
	return REASON_MALFORMED;
}

/* Step over one tag; return 1 where there is none to step over, which ends the walk. */
static long step_over_tag(__u32 index, void *data)
{
	struct tag_walk *walk = data;
	struct vlan_tag tag;

	(void)index;
	/* By the helper: the verifier follows no pointer as far into a packet as a frame of MTU 65535 is long. */
	if (!is_vlan(walk->ethertype) || bpf_xdp_load_bytes(walk->ctx, walk->offset, &tag, sizeof(tag)))
		return 1;
	walk->ethertype = tag.ethertype;
	walk->offset += sizeof(tag);
	walk->tags++;
	return 0;
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
		__builtin_memcpy(p->source, &v4.saddr, sizeof(v4.saddr));
		break;
	case bpf_htons(ETH_P_IPV6):
		if (bpf_xdp_load_bytes(walk->ctx, walk->offset, &v6, sizeof(v6)) || v6.version != 6)
			return REASON_MALFORMED;
		p->family = 6;
		__builtin_memcpy(p->source, &v6.saddr, sizeof(v6.saddr));
		break;
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return REASON_MALFORMED;
	default:
		return REASON_NOT_IP;
	}
	p->network_offset = walk->offset;
	return REASON_MALFORMED;
}

/* Return REASON_NO_RULE for an IP packet that is whole, else why it is not judged by the ACL. */
static __always_inline enum tripod_reason parse(struct xdp_md *ctx, struct cursor *c, struct packet *p)
{
	struct ethhdr *eth = take(c, sizeof(*eth));
	struct tag_walk walk = { .ctx = ctx };
	struct vlan_tag *tag;
	__be16 ethertype;
	__u32 reached;
	int i;

	if (!eth)
		return REASON_MALFORMED;
	ethertype = eth->h_proto;
	for (i = 0; i < COMMON_VLAN_TAGS && is_vlan(ethertype); i++) {
		tag = take(c, sizeof(*tag));
		if (!tag)
			return REASON_MALFORMED;
		ethertype = tag->ethertype;
		p->vlan_tags++;
	}
	if (is_vlan(ethertype)) {
		walk.offset = offset(c);
		walk.ethertype = ethertype;
		bpf_loop(MAX_VLAN_TAGS, step_over_tag, &walk, 0);
		p->vlan_tags += walk.tags > 200 ? 200 : walk.tags;
		reached = walk.offset;
		barrier_var(reached);
		if (reached > MAX_FRAME_OFFSET)
			return parse_source(&walk, p);
		c->pos = c->start + reached;
		ethertype = walk.ethertype;
	}
	switch (ethertype) {
	case bpf_htons(ETH_P_IP):
		return parse_ipv4(c, p);
	case bpf_htons(ETH_P_IPV6):
		return parse_ipv6(c, p);
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return REASON_MALFORMED;
	default:
		return REASON_NOT_IP;
	}
}

static __always_inline bool drops(const struct acl_rule *rule)
{
	return rule && rule->action == ACTION_DROP;
}

static __always_inline struct acl_rule *acl_lookup_v4(const __u8 *source)
{
	struct acl_key_v4 key = { .prefixlen = 32 };

	__builtin_memcpy(key.addr, source, sizeof(key.addr));
	return bpf_map_lookup_elem(&acl_v4, &key);
}

/* Whether an IPv6 source is ::ffff:0:0/96, which the stack hands to a socket as the IPv4 address that it holds. */
static __always_inline bool is_mapped(const __u8 *source)
{
	__u32 words[3];

	__builtin_memcpy(words, source, sizeof(words));
	return !words[0] && !words[1] && words[2] == bpf_htonl(0xffff);
}

static __always_inline struct acl_rule *acl_lookup(struct packet *p)
{
	struct acl_key_v6 key = { .prefixlen = 128 };
	struct acl_rule *rule, *mapped;

	if (p->family == 4)
		return acl_lookup_v4(p->source);
	if (p->family != 6)
		return NULL;
	__builtin_memcpy(key.addr, p->source, sizeof(key.addr));
	rule = bpf_map_lookup_elem(&acl_v6, &key);
	if (drops(rule) || !is_mapped(p->source))
		return rule;
	mapped = acl_lookup_v4(p->source + 12);
	if (!drops(mapped))
		return rule;
	/* What is told of the packet is what its rule speaks of. */
	__builtin_memcpy(p->source, p->source + 12, 4);
	__builtin_memset(p->source + 4, 0, 12);
	p->family = 4;
	return mapped;
}

static __always_inline void count(enum xdp_action verdict, enum tripod_reason reason, __u64 bytes)
{
	__u32 index = verdict * REASON_SLOTS + reason;
	struct counter *counter = bpf_map_lookup_elem(&counters, &index);

	if (!counter)
		return;
	counter->packets++;
	counter->bytes += bytes;
}

static __always_inline void record(enum xdp_action verdict, enum tripod_reason reason,
				   const struct acl_rule *rule, const struct packet *p)
{
	__u32 index = 0;
	struct trace_record *t = bpf_map_lookup_elem(&trace, &index);

	if (!t)
		return;
	t->verdict = verdict;
	t->reason = reason;
	t->action = rule ? rule->action : 0;
	t->owner = rule ? rule->owner : 0;
	t->prefix_len = rule ? rule->prefix_len : 0;
	t->network_offset = p->network_offset;
	t->transport_offset = p->transport_offset;
	t->family = p->family;
	t->protocol = p->protocol;
	t->vlan_tags = p->vlan_tags;
	t->reserved = 0;
	__builtin_memcpy(t->source, p->source, sizeof(t->source));
}

SEC("xdp")
int tripod_xdp(struct xdp_md *ctx)
{
	struct cursor c = {
		.start = (void *)(long)ctx->data,
		.pos = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	struct packet p = {};
	__u64 bytes = c.end - c.start;
	enum tripod_reason reason = parse(ctx, &c, &p);
	enum xdp_action verdict = XDP_PASS;
	struct acl_rule *rule = acl_lookup(&p);

	if (drops(rule)) {
		verdict = XDP_DROP;
		reason = REASON_ACL_DROP;
	} else if (rule && reason == REASON_NO_RULE) {
		reason = REASON_ACL_PASS;
	}

	count(verdict, reason, bytes);
	if (tracing)
		record(verdict, reason, rule, &p);
	return verdict;
}

/* The kernel's word for "compatible with its own licence"; it knows no version numbers. */
char LICENSE[] SEC("license") = "GPL";
