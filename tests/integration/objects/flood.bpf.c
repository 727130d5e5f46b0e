/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Gives each run of a frame another source before ours judges it, so that a flood needs no sender that is fast enough. */

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name

typedef unsigned int __u32;

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { PROG_ARRAY = 3, PERCPU_ARRAY = 6 };
enum { XDP_ABORTED };
enum { EXTENSION_OURS = 1 };
enum { SOURCE = 26, BEHIND = 30 }; /* of IPv4's source address, from the Ethernet header on */

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*tail_call)(void *context, void *map, __u32 index) = (void *)12;

struct {
	__uint(type, PROG_ARRAY);
	__uint(max_entries, 3);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} extensions SEC(".maps");

struct flood {
	__u32 first;	/* address, in host order */
	__u32 count;	/* of sources, one after the other */
	__u32 next;
	__u32 every;	/* packets after which `other` comes; 0: never */
	__u32 other;
	__u32 reserved;
};

struct {
	__uint(type, PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flood);
} floods SEC(".maps");

SEC("xdp")
int flood(struct xdp_md *ctx)
{
	unsigned char *frame = (void *)(unsigned long)ctx->data;
	__u32 first = 0, number, source;
	struct flood *flood = lookup(&floods, &first);

	if (!flood || frame + BEHIND > (unsigned char *)(unsigned long)ctx->data_end)
		return XDP_ABORTED;
	number = flood->next;
	flood->next = number + 1 < flood->count ? number + 1 : 0;
	source = flood->first + number;
	if (flood->every && number % flood->every == 0)
		source = flood->other;
	*(__u32 *)(frame + SOURCE) = __builtin_bswap32(source);
	tail_call(ctx, &extensions, EXTENSION_OURS);
	return XDP_ABORTED;
}

char LICENSE[] SEC("license") = "GPL";
