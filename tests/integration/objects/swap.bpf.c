/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A policy in the shape of ours, small: a header, and a table whose place and size are constants of the loaded program. */

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]

typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { ARRAY = 2, PERCPU_ARRAY = 6, ARRAY_OF_MAPS = 12, MMAPABLE = 1 << 10 };
enum { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX };

static void *(*lookup)(void *map, const void *key) = (void *)1;

struct policy_bounds {
	__u32 size;
	__u32 table, table_count;
};

struct policy {
	__u32 abi, verdict;
};

const volatile struct policy_bounds bounds = { .size = 16, .table = 8, .table_count = 2 };
const volatile __u8 tracing;

struct inner {
	__uint(type, ARRAY);
	__uint(map_flags, MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 16);
};

struct {
	__uint(type, ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__array(values, struct inner);
} policy SEC(".maps");

struct {
	__uint(type, PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static void count(__u32 verdict)
{
	__u64 *counter = lookup(&counters, &verdict);

	if (counter)
		(*counter)++;
}

/* The verdict of the header; aborted where there is no policy, sent back where the table's last entry is another policy's. */
SEC("xdp")
int judge(struct xdp_md *context)
{
	__u32 first = 0, verdict = XDP_ABORTED, place;
	struct policy *held;
	void *one = lookup(&policy, &first);

	if (one) {
		held = lookup(one, &first);
		if (held) {
			place = bounds.table + (bounds.table_count - 1) * sizeof(__u32);
			verdict = *(__u32 *)((void *)held + place) == held->verdict ? held->verdict : XDP_TX;
		}
	}
	if (verdict > XDP_TX)
		verdict = XDP_TX;
	count(verdict);
	return verdict + tracing;
}

char _license[] SEC("license") = "GPL";
