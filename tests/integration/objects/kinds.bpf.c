/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Maps and programs that other people's objects have, and ours has not. */

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name
#define __array(name, value) typeof(value) *name[]

typedef unsigned int __u32;
typedef unsigned long long __u64;

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { HASH = 1, PROG_ARRAY = 3, LRU_HASH = 9, DEVMAP = 14, CPUMAP = 16, XSKMAP = 17, RINGBUF = 27 };
enum { NO_COMMON_LRU = 2 };
enum { XDP_DROP = 1, XDP_PASS = 2 };

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*tail_call)(void *context, void *map, __u32 index) = (void *)12;
static long (*redirect_map)(void *map, __u64 key, __u64 flags) = (void *)51;
static void *(*reserve)(void *ringbuf, __u64 size, __u64 flags) = (void *)131;
static void (*discard)(void *data, __u64 flags) = (void *)133;

struct {
	__uint(type, HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u32);
} settings_with_a_long_name SEC(".maps");

struct {
	__uint(type, DEVMAP);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u32);
} ports SEC(".maps");

struct {
	__uint(type, RINGBUF);
	__uint(max_entries, 5000); /* libbpf rounds it */
} events SEC(".maps");

struct {
	__uint(type, LRU_HASH);
	__uint(map_flags, NO_COMMON_LRU);
	__uint(max_entries, 1009); /* a prime: the kernel rounds it to a multiple of the CPUs */
	__type(key, __u32);
	__type(value, __u32);
} recent SEC(".maps");

struct {
	__uint(type, CPUMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} spread SEC(".maps");

struct {
	__uint(type, XSKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

/* The kernel keeps ".data.packets_s" of it, as the begin of the section counts. */
__u32 seen SEC(".data.packets_seen") = 1;

/* What is left of the name above. */
struct {
	__uint(type, HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} packets_s SEC(".maps");

int second(struct xdp_md *context);

struct {
	__uint(type, PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__array(values, int(struct xdp_md *));
} jumps SEC(".maps") = { .values = { [1] = (void *)&second } };

SEC("xdp")
int second(struct xdp_md *context)
{
	return XDP_DROP;
}

SEC("xdp")
int first(struct xdp_md *context)
{
	__u32 key = 0;
	__u32 *redirects = lookup(&settings_with_a_long_name, &key);
	void *record = reserve(&events, 8, 0);

	if (record)
		discard(record, 0);
	if (lookup(&packets_s, &key))
		__sync_fetch_and_add(&seen, 1);
	if (redirects && *redirects == 9)
		return redirect_map(&spread, 0, XDP_PASS) + redirect_map(&sockets, 0, XDP_PASS);
	if (redirects && *redirects && !lookup(&recent, &key))
		return redirect_map(&ports, 0, XDP_PASS);
	tail_call(context, &jumps, 1);
	return XDP_PASS;
}

SEC("xdp.frags")
int large(struct xdp_md *context)
{
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
