/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/*
 * SYN cookies: what floods a listener is answered here, before it costs the stack anything. The kernel says whether a
 * cookie is due (net.ipv4.tcp_syncookies: under attack only, or always) and which. The answer has no option but the MSS:
 * such a connection has no window scaling, no selective acknowledgements and no timestamps.
 */
#ifndef TRIPOD_COOKIES_H
#define TRIPOD_COOKIES_H

#include "fields.h"
#include "maps.h"

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define DONT_FRAGMENT 0x4000
#define OPTION_MSS 2
#define ANSWER_TTL 64

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u64 sum_of(void *bytes, __u32 size)
{
	return (__u32)bpf_csum_diff(NULL, 0, bytes, size, 0);
}

/* Copy a SYN, whose options differ in size; return the size of its TCP header, 0 where it is none. */
static __always_inline __u32 read_syn(struct xdp_md *ctx, __u32 network, void *ip, __u32 ip_size, struct syn *syn)
{
	__u32 size;

	if (bpf_xdp_load_bytes(ctx, network, ip, ip_size) ||
	    bpf_xdp_load_bytes(ctx, network + ip_size, &syn->tcp, sizeof(syn->tcp)))
		return 0;
	size = syn->tcp.doff * 4;
	barrier_var(size);
	if (size < sizeof(syn->tcp) || size > sizeof(syn->tcp) + TCP_OPTIONS)
		return 0;
	return bpf_xdp_load_bytes(ctx, network + ip_size, &syn->tcp, size) ? 0 : size;
}

/* Ask the listener for a cookie: sequence number in the lower 32 bits, then the MSS; negative where there is none. */
static __always_inline __s64 ask_listener(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_size, void *ip,
					  __u32 ip_size, struct syn *syn, __u32 tcp_size)
{
	struct bpf_sock *sock = bpf_skc_lookup_tcp(ctx, tuple, tuple_size, BPF_F_CURRENT_NETNS, 0);
	__s64 cookie = -1;

	if (!sock)
		return -1;
	if (sock->state == BPF_TCP_LISTEN)
		cookie = bpf_tcp_gen_syncookie(sock, ip, ip_size, &syn->tcp, tcp_size);
	bpf_sk_release(sock);
	return cookie;
}

static __always_inline void make_answer(struct answer *answer, const struct tcphdr *syn, __s64 cookie)
{
	answer->tcp.source = syn->dest;
	answer->tcp.dest = syn->source;
	answer->tcp.seq = bpf_htonl((__u32)cookie);
	answer->tcp.ack_seq = bpf_htonl(bpf_ntohl(syn->seq) + 1);
	answer->tcp.doff = sizeof(*answer) / 4;
	answer->tcp.syn = 1;
	answer->tcp.ack = 1;
	answer->tcp.window = bpf_htons(65535);
	answer->kind = OPTION_MSS;
	answer->size = sizeof(*answer) - sizeof(answer->tcp);
	answer->mss = bpf_htons(cookie >> 32 & 0xffff);
}

/* Put an answer behind the headers of layer 2; whatever else the SYN had is cut off. */
static __always_inline bool send_back(struct xdp_md *ctx, __u32 network, __u32 length, void *answer, __u32 size)
{
	__u8 addresses[2 * ETH_ALEN], swapped[2 * ETH_ALEN];

	if (bpf_xdp_adjust_tail(ctx, (int)(network + size - length)))
		return false;
	if (bpf_xdp_load_bytes(ctx, 0, addresses, sizeof(addresses)))
		return false;
	__builtin_memcpy(swapped, addresses + ETH_ALEN, ETH_ALEN);
	__builtin_memcpy(swapped + ETH_ALEN, addresses, ETH_ALEN);
	return !bpf_xdp_store_bytes(ctx, 0, swapped, sizeof(swapped)) && !bpf_xdp_store_bytes(ctx, network, answer, size);
}

static __noinline int answer_v4(struct xdp_md *ctx, __u32 network, __u32 length)
{
	__u32 first = 0, tcp_size;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &first);
	struct exchange *e;
	struct answer_v4 *made;
	struct iphdr *ip;
	__s64 cookie;
	__u64 sum;

	if (!scratch)
		return 0;
	e = &scratch->exchange;
	ip = &e->syn.v4;
	tcp_size = read_syn(ctx, network, ip, sizeof(*ip), &e->syn);
	if (!tcp_size)
		return 0;
	e->tuple.ipv4.saddr = ip->saddr;
	e->tuple.ipv4.daddr = ip->daddr;
	e->tuple.ipv4.sport = e->syn.tcp.source;
	e->tuple.ipv4.dport = e->syn.tcp.dest;
	cookie = ask_listener(ctx, &e->tuple, sizeof(e->tuple.ipv4), ip, sizeof(*ip), &e->syn, tcp_size);
	if (cookie < 0)
		return 0;
	made = &e->answer.v4;
	__builtin_memset(made, 0, sizeof(*made));
	made->ip.version = 4;
	made->ip.ihl = sizeof(made->ip) / 4;
	made->ip.tot_len = bpf_htons(sizeof(*made));
	made->ip.frag_off = bpf_htons(DONT_FRAGMENT);
	made->ip.ttl = ANSWER_TTL;
	made->ip.protocol = IPPROTO_TCP;
	made->ip.saddr = ip->daddr;
	made->ip.daddr = ip->saddr;
	made->ip.check = fold(sum_of(&made->ip, sizeof(made->ip)));
	make_answer(&made->answer, &e->syn.tcp, cookie);
	sum = sum_of(&made->ip.saddr, 2 * sizeof(made->ip.saddr)) + bpf_htonl(IPPROTO_TCP << 16 | sizeof(made->answer));
	made->answer.tcp.check = fold(sum + sum_of(&made->answer, sizeof(made->answer)));
	return send_back(ctx, network, length, made, sizeof(*made));
}

static __noinline int answer_v6(struct xdp_md *ctx, __u32 network, __u32 length)
{
	__u32 first = 0, tcp_size;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &first);
	struct exchange *e;
	struct answer_v6 *made;
	struct ipv6hdr *ip;
	__s64 cookie;
	__u64 sum;

	if (!scratch)
		return 0;
	e = &scratch->exchange;
	ip = &e->syn.v6;
	tcp_size = read_syn(ctx, network, ip, sizeof(*ip), &e->syn);
	if (!tcp_size)
		return 0;
	__builtin_memcpy(e->tuple.ipv6.saddr, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(e->tuple.ipv6.daddr, &ip->daddr, sizeof(ip->daddr));
	e->tuple.ipv6.sport = e->syn.tcp.source;
	e->tuple.ipv6.dport = e->syn.tcp.dest;
	cookie = ask_listener(ctx, &e->tuple, sizeof(e->tuple.ipv6), ip, sizeof(*ip), &e->syn, tcp_size);
	if (cookie < 0)
		return 0;
	made = &e->answer.v6;
	__builtin_memset(made, 0, sizeof(*made));
	made->ip.version = 6;
	made->ip.payload_len = bpf_htons(sizeof(made->answer));
	made->ip.nexthdr = IPPROTO_TCP;
	made->ip.hop_limit = ANSWER_TTL;
	made->ip.saddr = ip->daddr;
	made->ip.daddr = ip->saddr;
	make_answer(&made->answer, &e->syn.tcp, cookie);
	sum = sum_of(&made->ip.saddr, 2 * sizeof(made->ip.saddr)) + bpf_htonl(IPPROTO_TCP) + bpf_htonl(sizeof(made->answer));
	made->answer.tcp.check = fold(sum + sum_of(&made->answer, sizeof(made->answer)));
	return send_back(ctx, network, length, made, sizeof(*made));
}

/*
 * Make a first SYN the answer to itself, where the kernel has a cookie for it; return whether the frame is one now. A SYN
 * behind options of IP or extension headers, which nobody sends, is left to the stack.
 */
static __always_inline bool answer_syn(struct xdp_md *ctx, struct packet *p)
{
	if (p->protocol != IPPROTO_TCP || p->fragment != FRAGMENT_NONE ||
	    (read_tcp_flags(ctx, p) & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_SYN)
		return false;
	if (p->family == 4 && p->transport_offset == p->network_offset + sizeof(struct iphdr))
		return answer_v4(ctx, p->network_offset, p->length);
	if (p->family == 6 && p->transport_offset == p->network_offset + sizeof(struct ipv6hdr))
		return answer_v6(ctx, p->network_offset, p->length);
	return false;
}

#endif
