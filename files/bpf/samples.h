/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* Samples of packets for user space, no more of them than it wants. */
#ifndef TRIPOD_SAMPLES_H
#define TRIPOD_SAMPLES_H

#include "limits.h"

/* Whether packets that were judged as this one are wanted, by the reasons that are. */
static __always_inline bool is_wanted(__u32 reasons, __u32 observed, const struct packet *p)
{
	return reasons >> reason_of(p->outcome) & 1 ||
	       (verdict_of(p->would) == XDP_DROP && observed >> reason_of(p->would) & 1);
}

static __always_inline bool wants(const struct tap *tap, const struct packet *p)
{
	return is_wanted(tap->reasons, tap->observed, p) &&
	       (!tap->slot || tap->slot == (__u16)p->outcome || tap->slot == (__u16)p->would);
}

static __always_inline bool affords(struct tap *tap)
{
	return !tap->cost || charge(&tap->arrival, tap->span, tap->cost);
}

static __always_inline void write_sample(struct xdp_md *ctx, struct packet *p, __u8 taps,
					 struct sample *sample)
{
	__u32 captured = p->length;

	sample->time = bpf_ktime_get_ns();
	sample->interface = ctx->ingress_ifindex;
	sample->queue = ctx->rx_queue_index;
	sample->length = p->length;
	sample->slot = p->outcome;
	sample->would_slot = p->would;
	sample->verdict = verdict_of(p->outcome);
	sample->reason = reason_of(p->outcome);
	sample->would = verdict_of(p->would);
	sample->would_reason = reason_of(p->would);
	sample->taps = taps;
	__builtin_memset(sample->reserved, 0, sizeof(sample->reserved));
	if (captured > SAMPLE_BYTES)
		captured = SAMPLE_BYTES;
	/* Linux 6.1 takes from a comparison with 0 that a size is none, but not that it is one. */
	barrier_var(captured);
	captured = ((captured - 1) & (SAMPLE_BYTES - 1)) + 1;
	if (bpf_xdp_load_bytes(ctx, 0, sample->packet, captured))
		captured = 0;
	sample->captured = captured;
	/* Whoever reads looks by the clock; waking him would cost the path of a flood an interrupt. */
	bpf_ringbuf_submit(sample, BPF_RB_NO_WAKEUP);
}

static __always_inline void sample(struct xdp_md *ctx, struct packet *p)
{
	struct sample *sample;
	__u8 taps = 0;
	int i;

	if (!(control.reasons | control.observed) || !is_wanted(control.reasons, control.observed, p) || !charging)
		return;
#pragma unroll
	for (i = 0; i < SAMPLE_TAPS; i++) {
		if (wants(&control.taps[i], p) && affords(&control.taps[i]))
			taps |= 1 << i;
	}
	if (!taps)
		return;
	sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	/* Asked once: to Linux 6.1, memory that was found to be there might be NULL again at a second look. */
	if (!sample) {
#pragma unroll
		for (i = 0; i < SAMPLE_TAPS; i++)
			__sync_fetch_and_add(&control.taps[i].lost, taps >> i & 1);
		return;
	}
#pragma unroll
	for (i = 0; i < SAMPLE_TAPS; i++)
		__sync_fetch_and_add(&control.taps[i].taken, taps >> i & 1);
	write_sample(ctx, p, taps, sample);
}

#endif
