/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What receivers of AF_XDP are weighed with: a program that hands each packet to the
 * socket of its queue, one that drops it, and one that sends the packets of a run.
 */
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name

typedef unsigned int __u32;
typedef unsigned long long __u64;

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { ARRAY = 2, XSKMAP = 17 };
enum { XDP_ABORTED = 0, XDP_DROP = 1, XDP_PASS = 2 };

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*redirect)(__u32 interface, __u64 flags) = (void *)23;
static long (*redirect_map)(void *map, __u64 key, __u64 flags) = (void *)51;

struct {
	__uint(type, XSKMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

/* The interface that packets of a run are sent to. */
struct {
	__uint(type, ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} interface SEC(".maps");

SEC("xdp")
int hand_over(struct xdp_md *ctx)
{
	return redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);
}

SEC("xdp")
int drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

SEC("xdp")
int send(struct xdp_md *ctx)
{
	__u32 first = 0, *to = lookup(&interface, &first);

	(void)ctx;
	return to ? redirect(*to, 0) : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "GPL";
