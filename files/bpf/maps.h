/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* The maps that the program and user space share, and the constants that are set before a load. */
#ifndef TRIPOD_MAPS_H
#define TRIPOD_MAPS_H

#include "parse.h"
#include "tripod_policy.h"
#include "tripod_sample.h"
#include "tripod_xdp.h"

#include <bpf/bpf_helpers.h>

/* Where the tables of the policy are. */
const volatile struct policy_bounds bounds = { .size = sizeof(struct policy) };
/* Whether the way to the verdict is written down: in a twin of the attached program. The verifier removes what is off. */
const volatile bool tracing = false;
/* Whether limits are charged, hits are counted and samples taken; not in a twin that shares maps with the attached program. */
const volatile bool charging = true;
/* Whether EXTENSION_AFTER is called. */
const volatile bool extended = false;

/* The loader sets the inner map's size to that of `bounds`. Its memory can be mapped, so it begins with a page. */
struct policy_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct policy));
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct policy_map);
} policy SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_SLOTS * REASON_SLOTS);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MAX_HITS);
	__type(key, __u32);
	__type(value, struct hit);
} hits SEC(".maps");

/* Mappable only so that each line is one of the cache's. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BUCKET_LINES);
	__type(key, __u32);
	__type(value, struct bucket_line);
} buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_BANS);
	__type(key, struct ban_key);
	__type(value, struct ban);
} bans SEC(".maps");

/* Variables in a section of their own are a map of one element, which the program reaches without a look-up. */
struct control control SEC(".data.control");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SAMPLE_RING_BYTES);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, MAX_SOCKETS);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, EXTENSION_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} extensions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct trace_record);
} trace SEC(".maps");

#define TCP_OPTIONS 40 /* at most */

struct syn {
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
	};
	struct tcphdr tcp;
	__u8 options[TCP_OPTIONS];
};

struct answer {
	struct tcphdr tcp;
	__u8 kind;
	__u8 size;
	__be16 mss;
};

struct answer_v4 {
	struct iphdr ip;
	struct answer answer;
};

struct answer_v6 {
	struct ipv6hdr ip;
	struct answer answer;
};

/* A SYN and its answer. */
struct exchange {
	struct bpf_sock_tuple tuple;
	struct syn syn;
	union {
		struct answer_v4 v4;
		struct answer_v6 v6;
	} answer;
};

/* Memory of the program itself, for one packet. */
struct scratch {
	struct packet packet;
	struct exchange exchange;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

/* Where the way to the verdict is written down; NULL where it is not. */
static __always_inline struct trace_record *traced(void)
{
	__u32 first;

	if (!tracing)
		return NULL;
	first = 0;
	barrier_var(first); /* or clang would do this before */
	return bpf_map_lookup_elem(&trace, &first);
}

static __always_inline void start_trace(void)
{
	struct trace_record *record = traced();

	if (record)
		__builtin_memset(record, 0, sizeof(*record));
}

/* Note what a part has said in the trace. */
#define TRACE(field, value)                             \
	do {                                            \
		struct trace_record *record = traced(); \
		if (record)                             \
			record->field = value;          \
	} while (0)

static __always_inline void count(struct packet *p)
{
	__u32 index = p->outcome >> 16;
	struct counter *counter = bpf_map_lookup_elem(&counters, &index);

	if (!counter)
		return;
	counter->packets++;
	counter->bytes += p->length;
}

/* Count what a part matched, or would have. */
static __always_inline void hit(__u16 slot, bool observed, struct packet *p)
{
	__u32 index = slot;
	struct hit *hit;

	if (!charging)
		return;
	hit = bpf_map_lookup_elem(&hits, &index);
	if (!hit)
		return;
	if (observed) {
		hit->observed_packets++;
		hit->observed_bytes += p->length;
	} else {
		hit->packets++;
		hit->bytes += p->length;
	}
	hit->last = bpf_jiffies64();
}

#endif
