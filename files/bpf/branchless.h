/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Copyright (c) 2026, Tripod contributors */

/* Comparisons without branches. */
#ifndef TRIPOD_BRANCHLESS_H
#define TRIPOD_BRANCHLESS_H

#include <linux/types.h>

#include <bpf/bpf_helpers.h>

/*
 * The sign in all bits. Comparisons are turned into branches by clang, each of which doubles what the verifier
 * has to go through, and which a CPU cannot foresee: it must neither know where the number came from, which
 * takes the first barrier, nor what becomes of the bits, which takes the second.
 */
static __always_inline __u64 sign_of(__u64 number)
{
	__u64 bits;

	barrier_var(number);
	bits = (__s64)number >> 63;
	barrier_var(bits);
	return bits;
}

/* All bits where one number is below another, both less than 1 << 63, else none. */
static __always_inline __u64 below(__u64 one, __u64 other)
{
	return sign_of(one - other);
}

/* As below(), for any two numbers. */
static __always_inline __u64 below_any(__u64 one, __u64 other)
{
	return sign_of((~one & other) | ((~one | other) & (one - other)));
}

#endif
