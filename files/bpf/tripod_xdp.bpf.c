// SPDX-License-Identifier: GPL-2.0-or-later
/* Copyright (c) 2026, Tripod contributors */

/*
 * Ingress filter: parse, judge by the compiled policy, count by verdict and reason.
 * docs/decisions/0036-how-a-packet-is-judged.md says what is asked in which order.
 *
 * An IPv4 packet that is passed or dropped makes no call of any function on kernels that
 * inline what they can (6.10): a call costs as much as all lists do.
 */
#include "tripod_policy.h"
#include "tripod_xdp.h"

#include "fields.h"
#include "parse.h"

#include "maps.h"
#include "ranges.h"
#include "sets.h"

#include "cookies.h"
#include "limits.h"
#include "samples.h"

static __always_inline bool is_banned(struct packet *p)
{
	struct ban_key key = { bpf_cpu_to_be64(p->source.upper), bpf_cpu_to_be64(p->source.lower) };
	struct ban *ban;

	if (p->family == 4) {
		key.upper = 0;
		key.lower = bpf_cpu_to_be64(0xffffull << 32 | p->source.lower);
	}
	ban = bpf_map_lookup_elem(&bans, &key);
	if (!ban || bpf_ktime_get_boot_ns() >= ban->until)
		return false;
	if (charging)
		__sync_fetch_and_add(&ban->packets, 1);
	return true;
}

/* The list that decides: of the IPv4 address that a mapped source holds, which has this number, where only that is dropped. */
static __always_inline __u32 deciding_list(const struct policy *policy, struct packet *p, __u32 list, __u32 number)
{
	const struct source_result *held = result(policy, number);

	if (!number || held->trusted || policy->lists[list & (MAX_LISTS - 1)].action == POLICY_DROP ||
	    policy->lists[held->list & (MAX_LISTS - 1)].action != POLICY_DROP)
		return list;
	p->family = 4; /* what is told of the packet is what the list speaks of */
	return held->list;
}

/* Note what the list in observe mode would have done that would decide if all were enforced. */
static __always_inline void observe_list(const struct policy *policy, struct packet *p, __u32 number)
{
	const struct policy_list *list = &policy->lists[number & (MAX_LISTS - 1)];
	bool drops = list->action == POLICY_DROP;

	if (!number || (p->reason && !drops))
		return;
	hit(list->counter, true, p);
	observe(p, drops, drops ? REASON_LIST_DROP : REASON_LIST_PASS, list->counter);
	TRACE(observed_list, list->counter);
}

static __always_inline void drop_by_list(struct packet *p, __u16 counter)
{
	hit(counter, false, p);
	TRACE(list, counter);
	settle(p, XDP_DROP, REASON_LIST_DROP, counter);
}

/* Ask the list that decides; return whether the packet may go on. */
static __always_inline bool passes_list(const struct policy *policy, struct packet *p, __u32 number,
					__u16 *limit, bool *passed)
{
	const struct policy_list *list = &policy->lists[number & (MAX_LISTS - 1)];

	if (!number || (p->reason && list->action != POLICY_DROP))
		return true;
	barrier_var(list);
	if (list->action == POLICY_DROP) {
		drop_by_list(p, list->counter);
		return false;
	}
	hit(list->counter, false, p);
	TRACE(list, list->counter);
	if (list->action == POLICY_PASS) {
		*passed = true;
		settle(p, XDP_PASS, REASON_LIST_PASS, list->counter);
	} else {
		*limit = list->limit;
	}
	return true;
}

static __always_inline void observe_rule(const struct policy *policy, struct packet *p, __u32 number)
{
	const struct policy_part *rule = &policy->rules[(number - 1) & (MAX_RULES - 1)];
	bool drops = rule->action == POLICY_DROP;

	hit(rule->counter, true, p);
	observe(p, drops, drops ? REASON_RULE_DROP : REASON_RULE_PASS, rule->counter);
	TRACE(observed_rule, rule->counter);
}

/* Ask the rule that decides; return whether the packet may go on. */
static __always_inline bool passes_rule(const struct policy *policy, struct packet *p, __u32 number,
					__u64 *limits, bool *passed)
{
	const struct policy_part *rule = &policy->rules[(number - 1) & (MAX_RULES - 1)];

	hit(rule->counter, false, p);
	TRACE(rule, rule->counter);
	if (rule->action == POLICY_DROP) {
		settle(p, XDP_DROP, REASON_RULE_DROP, rule->counter);
		return false;
	}
	if (rule->action == POLICY_PASS) {
		*passed = true;
		settle(p, XDP_PASS, REASON_RULE_PASS, rule->counter);
	} else {
		*limits = ask_first(rule->limit, *limits);
	}
	return true;
}

static __always_inline void serve(struct xdp_md *ctx, const struct policy *policy, struct packet *p,
				  const struct policy_part *service)
{
	hit(service->counter, false, p);
	TRACE(service, service->counter);
	if (service->limit && !conforms(policy, p, service->limit, service->counter, TRACE_SERVICE_LIMIT, 2))
		return;
	settle(p, XDP_PASS, REASON_SERVICE_PASS, service->counter);
	switch (service->action) {
	case POLICY_DROP:
		settle(p, XDP_DROP, REASON_SERVICE_DROP, service->counter);
		break;
	case POLICY_AFXDP:
		settle(p, bpf_redirect_map(&xsks, ctx->rx_queue_index, XDP_PASS), REASON_AFXDP, service->counter);
		break;
	case POLICY_SYNCOOKIE:
		if (answer_syn(ctx, p))
			settle(p, XDP_TX, REASON_SYN_COOKIE, service->counter);
		break;
	}
}

/* Rules, limits, services and the default, for a whole packet that no list has dropped. */
static __always_inline void judge_whole(struct xdp_md *ctx, const struct policy *policy, __u32 features, struct packet *p,
					__u32 source, __u16 limit, bool passed)
{
	const struct policy_part *service = NULL;
	__u64 limits = policy->every_packet;
	struct matched_rule rule;
	struct match m;
	__u32 number;

	if (features & (FEATURE_RULES | FEATURE_SERVICES) && match(ctx, policy, p, source, &m)) {
		if (!passed && m.words) {
			rule = first_rules(policy, &m);
			if (rule.observed)
				observe_rule(policy, p, rule.observed);
			if (rule.decides && !passes_rule(policy, p, rule.decides, &limits, &passed))
				return;
		}
		number = first_service(&m);
		if (number)
			service = &policy->services[(number - 1) & (MAX_SERVICES - 1)];
	}
	limits = ask_first(limit, limits);
	if (limits && !passed && !conforms(policy, p, limits, 0, 0, TRACE_SERVICE_LIMIT))
		return;
	if (service)
		serve(ctx, policy, p, service);
	else if (!passed && policy->default_action == POLICY_DROP)
		settle(p, XDP_DROP, REASON_DEFAULT, 0);
}

/* `plain` is a constant: the packet is one of parse_plain(), so that what it is not is neither asked nor in its way. */
static __always_inline void judge_by(struct xdp_md *ctx, const struct policy *policy, struct packet *p, bool plain)
{
	const struct source_result *said;
	__u32 features = policy->features;
	struct source source = {};
	bool passed = false;
	__u16 limit = 0;

	if (features & FEATURE_SOURCES)
		source = find_source(policy, p, plain);
	said = result(policy, source.number);
	if (source.number && said->trusted) {
		settle(p, XDP_PASS, REASON_TRUSTED, 0);
		return;
	}
	if (features & FEATURE_TRUSTED_FLOWS && (plain || !p->reason) && is_trusted_flow(policy, p)) {
		settle(p, XDP_PASS, REASON_TRUSTED, 0);
		return;
	}
	if (control.bans && !(source.held && result(policy, source.held)->trusted) && is_banned(p)) {
		settle(p, XDP_DROP, REASON_BAN, 0);
		return;
	}
	if (source.number | source.held) {
		/* Nearly all that a list decides is dropped: what that takes is in one word. */
		if (said->drops) {
			drop_by_list(p, said->drops);
			return;
		}
		observe_list(policy, p, said->observed);
		if (!passes_list(policy, p, deciding_list(policy, p, said->list, source.held), &limit, &passed))
			return;
	}
	if (plain || !p->reason)
		judge_whole(ctx, policy, features, p, source.number, limit, passed);
	else if (p->evasive)
		settle(p, XDP_DROP, REASON_MALFORMED, 0);
}

static __always_inline void record_address(__u8 *bytes, const struct address *address, __u8 family)
{
	__be32 v4 = bpf_htonl((__u32)address->lower);
	__be64 v6[2] = { bpf_cpu_to_be64(address->upper), bpf_cpu_to_be64(address->lower) };

	if (family == 4)
		__builtin_memcpy(bytes, &v4, sizeof(v4));
	else
		__builtin_memcpy(bytes, v6, sizeof(v6));
}

/* A field's value as it is written down: 0 where there is none, which its values end at. */
static __always_inline __u32 or_none(__u32 value, __u32 values)
{
	return value < values ? value : 0;
}

/* Write down the rest of what became of a packet; the parts have noted themselves. */
static __always_inline void record(struct xdp_md *ctx, struct packet *p)
{
	struct address destination = read_destination(ctx, p);
	__u32 tags = p->network_offset ? (p->network_offset - sizeof(struct ethernet_header)) / sizeof(struct vlan_tag) : 0;
	struct trace_record *t = traced();

	if (!t)
		return;
	t->verdict = verdict_of(p->outcome);
	t->reason = reason_of(p->outcome);
	t->would = verdict_of(p->would);
	t->would_reason = reason_of(p->would);
	t->now = bpf_jiffies64();
	t->time = bpf_ktime_get_boot_ns();
	t->length = p->length;
	t->slot = p->outcome;
	t->would_slot = p->would;
	t->trusted = reason_of(p->outcome) == REASON_TRUSTED;
	t->banned = reason_of(p->outcome) == REASON_BAN;
	t->network_offset = p->network_offset;
	t->transport_offset = p->transport_offset;
	t->vlan = read_vlan(ctx);
	t->vlan_tags = tags > 255 ? 255 : tags;
	t->family = p->family;
	t->protocol = p->protocol;
	t->fragment = p->fragment;
	record_address(t->source, &p->source, p->family);
	record_address(t->destination, &destination, p->family);
	if (p->reason)
		return;
	t->source_port = or_none(read_source_port(ctx, p), NO_PORT);
	t->destination_port = or_none(p->destination_port, NO_PORT);
	t->tcp_flags = or_none(read_tcp_flags(ctx, p), NO_TCP_FLAGS);
	t->icmp_type = or_none(read_icmp_type(ctx, p), NO_ICMP_TYPE);
}

static __always_inline int judge(struct xdp_md *ctx, bool fragments)
{
	__u32 first = 0;
	struct scratch *scratch = bpf_map_lookup_elem(&scratches, &first);
	void *inner = bpf_map_lookup_elem(&policy, &first);
	struct packet *p;
	bool plain;

	if (!scratch)
		return XDP_ABORTED;
	p = &scratch->packet;
	start_trace();
	plain = parse(ctx, fragments, p);
	if (inner && (plain || p->family)) {
		inner = bpf_map_lookup_elem(inner, &first);
		if (inner && plain) /* not judge_by(..., plain), which would be one way for all */
			judge_by(ctx, inner, p, true);
		else if (inner)
			judge_by(ctx, inner, p, false);
	}
	barrier();
	count(p);
	sample(ctx, p);
	if (tracing)
		record(ctx, p);
	if (extended && verdict_of(p->outcome) == XDP_PASS)
		bpf_tail_call(ctx, &extensions, EXTENSION_AFTER);
	return verdict_of(p->outcome);
}

SEC("xdp")
int tripod_xdp(struct xdp_md *ctx)
{
	return judge(ctx, false);
}

/* For frames of several buffers, as those of MTU 9000 are. */
SEC("xdp.frags")
int tripod_xdp_frags(struct xdp_md *ctx)
{
	return judge(ctx, true);
}

/* Attached in place of the program that judges where somebody else's comes first. */
SEC("xdp")
int tripod_entry(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &extensions, EXTENSION_BEFORE);
	bpf_tail_call(ctx, &extensions, EXTENSION_OURS);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int tripod_entry_frags(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &extensions, EXTENSION_BEFORE);
	bpf_tail_call(ctx, &extensions, EXTENSION_OURS);
	return XDP_ABORTED;
}

/* The kernel's word for "compatible with its own licence"; it knows no version numbers. */
char LICENSE[] SEC("license") = "GPL";
