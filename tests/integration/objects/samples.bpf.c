/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A ring buffer of records of one size; each frame asks for as many as its first byte says, its second says how. */

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]

typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { ARRAY = 2, RINGBUF = 27, NO_WAKEUP = 1 };
enum { XDP_ABORTED, XDP_DROP, XDP_PASS };

static void *(*lookup)(void *map, const void *key) = (void *)1;
static void *(*reserve)(void *ringbuf, __u64 size, __u64 flags) = (void *)131;
static void (*submit)(void *data, __u64 flags) = (void *)132;
static void (*discard)(void *data, __u64 flags) = (void *)133;

struct record {
	__u64 number;
	__u8 filling[152];
};

struct {
	__uint(type, RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

struct {
	__uint(type, ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 8);
} written SEC(".maps");

/* Returns XDP_DROP where a record found no room. */
SEC("xdp")
int write_records(struct xdp_md *context)
{
	__u8 *data = (void *)(long)context->data, *end = (void *)(long)context->data_end;
	__u32 key = 0;
	__u64 *number = lookup(&written, &key);

	if (data + 2 > end || !number)
		return XDP_ABORTED;
	for (int i = 0; i < 255; i++) {
		struct record *record;

		if (i == data[0])
			break;
		record = reserve(&samples, sizeof(*record), 0);
		if (!record)
			return XDP_DROP;
		record->number = (*number)++;
		for (int j = 0; j < sizeof(record->filling); j++)
			record->filling[j] = (__u8)record->number;
		if (data[1] == 'd')
			discard(record, NO_WAKEUP);
		else
			submit(record, NO_WAKEUP);
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
