/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Packets of many sources for a program under test: each run takes the next source
 * from a list, writes it into the packet, and goes on to the program, or sends it.
 * Every program pays the same for it, an empty one too, whose cost is subtracted.
 */
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name

typedef unsigned int __u32;
typedef unsigned long long __u64;

struct xdp_md {
	__u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex;
};

enum { ARRAY = 2, PROG_ARRAY = 3 };
enum { MMAPABLE = 1 << 10 };
enum { XDP_ABORTED = 0, XDP_PASS = 2 };
enum { MOST_SOURCES = 100000 };
enum { SOURCE4 = 26, SOURCE6 = 22, LEAST_BYTES = 54 };

static void *(*lookup)(void *map, const void *key) = (void *)1;
static long (*tail_call)(void *context, void *map, __u32 index) = (void *)12;
static long (*redirect)(__u32 interface, __u64 flags) = (void *)23;

struct stream {
	__u32 position, count; /* of the source that is next; of sources */
	__u32 family; /* 4 or 6 */
	__u32 interface; /* to send to */
};

struct {
	__uint(type, ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stream);
} stream SEC(".maps");

/* IPv4: in the lower half; IPv6: the upper 64 bits. In network byte order. */
struct {
	__uint(type, ARRAY);
	__uint(map_flags, MMAPABLE);
	__uint(max_entries, MOST_SOURCES);
	__type(key, __u32);
	__type(value, __u64);
} sources SEC(".maps");

struct {
	__uint(type, PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} next SEC(".maps");

static inline struct stream *rewrite(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 first = 0, position;
	struct stream *s = lookup(&stream, &first);
	__u64 *source;

	if (!s || data + LEAST_BYTES > end)
		return 0;
	position = s->position;
	s->position = position + 1 < s->count ? position + 1 : 0;
	source = lookup(&sources, &position);
	if (!source)
		return 0;
	if (s->family == 4)
		*(__u32 *)(data + SOURCE4) = *source;
	else
		*(__u64 *)(data + SOURCE6) = *source;
	return s;
}

SEC("xdp")
int judge(struct xdp_md *ctx)
{
	if (rewrite(ctx))
		tail_call(ctx, &next, 0);
	return XDP_ABORTED;
}

SEC("xdp")
int send(struct xdp_md *ctx)
{
	struct stream *s = rewrite(ctx);

	return s ? redirect(s->interface, 0) : XDP_ABORTED;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
