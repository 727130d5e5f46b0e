/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* Samples of packets, and the switches by which user space asks for them. */
#ifndef TRIPOD_SAMPLE_H
#define TRIPOD_SAMPLE_H

#include <linux/types.h>

#define SAMPLE_BYTES 128
#define SAMPLE_RING_BYTES (1 << 19)
/* Of the exporter and of somebody who watches, so that one's narrow filter and rate are not the other's. */
#define SAMPLE_TAPS 2

/* One record of `samples`. All are of one size, so that a reader finds any of them without reading those before it. */
struct sample {
	__u64 time; /* ns of CLOCK_MONOTONIC */
	__u32 interface;
	__u32 length; /* of the frame, all buffers */
	__u16 captured; /* bytes of `packet` that are of this frame; the others are left over from other records */
	__u16 slot; /* of `hits`, for what decided; 0: a ban, a malformed packet, a trusted source, the default */
	__u16 would_slot; /* of `hits`, for the first part in observe mode; 0: none had a say */
	__u16 queue;
	__u8 verdict; /* enum xdp_action */
	__u8 reason; /* enum tripod_reason */
	__u8 would; /* enum xdp_action: what that part would have done; 0: none had a say */
	__u8 would_reason; /* enum tripod_reason that it would have had; 0 where `would` is */
	__u8 taps; /* bit of each tap that took it */
	__u8 reserved[3];
	__u8 packet[SAMPLE_BYTES];
};

/* Who takes which packets, how often. User space writes all but the last line. */
struct tap {
	__u32 reasons; /* bit of each enum tripod_reason: packets that were judged for it */
	__u32 observed; /* bit of each: packets that would have been dropped for it */
	__u16 slot; /* only where it is the packet's slot or would_slot; 0: any */
	__u16 reserved[3];
	__u64 cost; /* as of a policy_limit; 0: as many as there are */
	__u64 span;
	__u64 unused[4];

	__u64 arrival; /* as of a limit */
	__u64 taken;
	__u64 lost; /* found the ring full */
	__u64 unused_either[5];
};

/* Switches that are looked at for every packet; the one element of `control`. */
struct control {
	__u32 bans; /* entries of `bans` at most; 0: it is not looked at */
	__u32 reasons; /* what any tap takes */
	__u32 observed;
	__u32 reserved[13];
	struct tap taps[SAMPLE_TAPS];
};

#endif
