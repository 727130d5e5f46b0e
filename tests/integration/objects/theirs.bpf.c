/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What an operator of his own has before and after our program. KIND is the section: xdp or xdp.frags. */

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name

typedef unsigned int __u32;
typedef unsigned long long __u64;

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { ARRAY = 2, PROG_ARRAY = 3 };
enum { XDP_ABORTED, XDP_DROP, XDP_PASS };
enum { EXTENSION_OURS = 1 };

#ifndef SLOTS
#define SLOTS 3
#endif

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*tail_call)(void *context, void *map, __u32 index) = (void *)12;

struct {
	__uint(type, PROG_ARRAY);
	__uint(max_entries, SLOTS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} extensions SEC(".maps");

/* Longer than the kernel's names are. */
struct {
	__uint(type, ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} packets_that_were_seen SEC(".maps");

static __attribute__((always_inline)) void count(void)
{
	__u32 first = 0;
	__u64 *seen = lookup(&packets_that_were_seen, &first);

	if (seen)
		__sync_fetch_and_add(seen, 1);
}

/* Drops what is for 66:..., and marks the rest in its source, where the stack and who comes after ours can see it. */
SEC(KIND)
int their_gate(struct xdp_md *ctx)
{
	unsigned char *frame = (void *)(unsigned long)ctx->data;

	if (frame + 14 > (unsigned char *)(unsigned long)ctx->data_end)
		return XDP_PASS;
	count();
	if (frame[0] == 0x66)
		return XDP_DROP;
	frame[11] = 0x77;
	tail_call(ctx, &extensions, EXTENSION_OURS);
	return XDP_ABORTED;
}

/* Counts what ours passes, and drops what is for ..:88 of it. */
SEC(KIND)
int their_count(struct xdp_md *ctx)
{
	unsigned char *frame = (void *)(unsigned long)ctx->data;

	if (frame + 14 > (unsigned char *)(unsigned long)ctx->data_end)
		return XDP_PASS;
	count();
	return frame[5] == 0x88 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
