/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A receiver of AF_XDP in C, with libxdp, of the same shape as a worker of go-backend:
 * one socket for a queue, or two of one UMEM, rings of the same length, batches,
 * wake-ups where the kernel requests them, a stack of free frames, and the same work
 * on a packet.
 *
 * Usage: afxdp_receiver HANDLER CPU BATCH SPIN MAP NIC [PEER MAC NEXT_HOP PEER_MAC PEER_NEXT_HOP]
 *
 * HANDLER is "sink" or "forward", MAP the descriptor of the program's map of sockets.
 * It says "ready", serves until its input ends, and then says what it did, as JSON.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/xsk.h>

enum { FRAME_SIZE = 4096, RX = 2048, TX = 2048, FILL = 2 * RX, FRAMES = 2 * (FILL + TX) };
enum { IDLE_MS = 20, QUIET_MS = 20, MOST_BATCH = 4096 };
enum { ETHERNET = 14, IPV4 = 20 };

struct side {
	struct xsk_socket *socket;
	struct xsk_ring_prod fill, tx;
	struct xsk_ring_cons completion, rx;
	uint8_t mac[6], next_hop[6];
	struct xdp_desc sending[MOST_BATCH];
	uint32_t waiting; /* in sending */
};

static struct xsk_umem *umem;
static uint8_t *area;
static uint64_t stack[FRAMES];
static uint32_t frames_free;
static uint64_t packets, passed;
static struct side sides[2];
static int number_of_sides = 1;

static void fail(const char *what)
{
	fprintf(stderr, "afxdp_receiver: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void check(long result, const char *what)
{
	if (result < 0)
		fail(what);
}

static void make_umem(struct side *first)
{
	const struct xsk_umem_config config = {
		.fill_size = FILL, .comp_size = TX, .frame_size = FRAME_SIZE,
	};

	errno = -xsk_umem__create(&umem, area, (uint64_t)FRAMES * FRAME_SIZE, &first->fill, &first->completion, &config);
	if (errno)
		fail("make a UMEM");
}

static void open_side(struct side *s, const char *nic)
{
	const struct xsk_socket_config config = {
		.rx_size = RX, .tx_size = TX,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = XDP_USE_NEED_WAKEUP,
	};

	errno = -xsk_socket__create_shared(&s->socket, nic, 0, umem, &s->rx, &s->tx, &s->fill, &s->completion, &config);
	if (errno)
		fail("make a socket");
}

static int descriptor(const struct side *s) { return xsk_socket__fd(s->socket); }

static void refill(struct side *s)
{
	uint32_t n = FILL - (s->fill.cached_prod - s->rx.cached_cons), space, at;

	if (n > frames_free)
		n = frames_free;
	space = xsk_prod_nb_free(&s->fill, n);
	if (n > space)
		n = space;
	if (!n || !xsk_ring_prod__reserve(&s->fill, n, &at))
		return;
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&s->fill, at + i) = stack[--frames_free];
	xsk_ring_prod__submit(&s->fill, n);
}

static void put(uint64_t address) { stack[frames_free++] = address & ~(uint64_t)(FRAME_SIZE - 1); }

static void reclaim(struct side *s)
{
	uint32_t at, ready = xsk_ring_cons__peek(&s->completion, TX, &at);

	for (uint32_t i = 0; i < ready; i++)
		put(*xsk_ring_cons__comp_addr(&s->completion, at + i));
	if (ready)
		xsk_ring_cons__release(&s->completion, ready);
}

static uint32_t room(struct side *s)
{
	uint32_t held = s->tx.cached_prod - s->completion.cached_cons, space = xsk_prod_nb_free(&s->tx, TX);

	return TX - held < space ? TX - held : space;
}

static uint32_t sum(const uint8_t *bytes, uint32_t length)
{
	uint32_t total = 0;

	for (uint32_t i = 0; i + 1 < length; i += 2)
		total += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return total;
}

static int routable(const uint8_t *a)
{
	return a[0] != 0 && a[0] != 127 && a[0] < 224 && (a[0] != 169 || a[1] != 254);
}

/* What go-backend's handler does with a packet of IPv4 that can go on. */
static int forward(uint8_t *frame, uint32_t length, const struct side *from, const struct side *to)
{
	uint8_t *ip = frame + ETHERNET;
	uint32_t header, total, check_sum;

	if (length < ETHERNET + IPV4 || memcmp(frame, from->mac, 6) || frame[12] != 8 || frame[13] != 0 || ip[0] >> 4 != 4)
		return 0;
	header = (ip[0] & 15) * 4u;
	total = (uint32_t)ip[2] << 8 | ip[3];
	if (header < IPV4 || total < header || total + ETHERNET > length || sum(ip, header) != 0xffff ||
	    !routable(ip + 12) || !routable(ip + 16) || ip[8] <= 1 || total > 1500)
		return 0;
	ip[8]--;
	check_sum = ((uint32_t)ip[10] << 8 | ip[11]) + 0x100;
	check_sum += check_sum >> 16;
	ip[10] = (uint8_t)(check_sum >> 8);
	ip[11] = (uint8_t)check_sum;
	memcpy(frame, to->next_hop, 6);
	memcpy(frame + 6, to->mac, 6);
	return 1;
}

static void transmit(struct side *s)
{
	uint32_t at;

	if (!s->waiting || xsk_ring_prod__reserve(&s->tx, s->waiting, &at) != s->waiting)
		return;
	for (uint32_t i = 0; i < s->waiting; i++)
		*xsk_ring_prod__tx_desc(&s->tx, at + i) = s->sending[i];
	xsk_ring_prod__submit(&s->tx, s->waiting);
	s->waiting = 0;
}

static uint32_t turn(uint32_t batch, int forwards)
{
	static int first;
	uint32_t most = UINT32_MAX, total = 0;

	for (int i = 0; i < number_of_sides; i++) {
		reclaim(&sides[i]);
		if (room(&sides[i]) < most)
			most = room(&sides[i]);
	}
	first = number_of_sides - 1 - first;
	for (int i = 0; i < number_of_sides; i++) {
		int from = (i + first) % number_of_sides;
		struct side *s = &sides[from], *to = &sides[1 - from];
		uint32_t at, n = xsk_ring_cons__peek(&s->rx, batch < most ? batch : most, &at);

		for (uint32_t k = 0; k < n; k++) {
			struct xdp_desc d = *xsk_ring_cons__rx_desc(&s->rx, at + k);

			if (forwards && forward(area + d.addr, d.len, s, to)) {
				d.options = 0;
				to->sending[to->waiting++] = d;
				passed++;
			} else {
				put(d.addr);
			}
		}
		if (n)
			xsk_ring_cons__release(&s->rx, n);
		for (int k = 0; k < number_of_sides; k++)
			transmit(&sides[k]);
		refill(s);
		packets += n;
		total += n;
		most -= n;
	}
	return total;
}

static void wake(struct side *s)
{
	if (xsk_ring_prod__needs_wakeup(&s->fill))
		recvfrom(descriptor(s), NULL, 0, MSG_DONTWAIT, NULL, NULL);
	if (xsk_prod_nb_free(&s->tx, TX) < TX && xsk_ring_prod__needs_wakeup(&s->tx))
		sendto(descriptor(s), NULL, 0, MSG_DONTWAIT, NULL, 0);
}

static void read_mac(uint8_t *mac, const char *text)
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != 6)
		fail(text);
}

static uint64_t dropped(void)
{
	uint64_t total = 0;

	for (int i = 0; i < number_of_sides; i++) {
		struct xdp_statistics counts;
		socklen_t size = sizeof(counts);

		check(getsockopt(descriptor(&sides[i]), SOL_XDP, XDP_STATISTICS, &counts, &size), "read statistics");
		total += counts.rx_dropped + counts.rx_ring_full;
	}
	return total;
}

static uint64_t cpu_time(void)
{
	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	return (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000000u +
	       (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1000u;
}

static const char *mode(void)
{
	struct xdp_options options;
	socklen_t size = sizeof(options);

	check(getsockopt(descriptor(&sides[0]), SOL_XDP, XDP_OPTIONS, &options, &size), "read the mode");
	return options.flags & XDP_OPTIONS_ZEROCOPY ? "zero-copy" : "copy";
}

int main(int argc, char **argv)
{
	int forwards, spin;
	uint32_t batch, since = 0;
	uint64_t begun;
	cpu_set_t cpus;
	struct pollfd input = { .fd = 0, .events = POLLIN };

	if (argc != 7 && argc != 12) {
		fputs("usage: see the source\n", stderr);
		return 2;
	}
	forwards = !strcmp(argv[1], "forward");
	batch = (uint32_t)atoi(argv[3]);
	spin = atoi(argv[4]);
	if (batch < 1 || batch > MOST_BATCH)
		fail("batch");
	CPU_ZERO(&cpus);
	CPU_SET((size_t)atoi(argv[2]), &cpus);
	check(sched_setaffinity(0, sizeof(cpus), &cpus), "run on the CPU");
	area = mmap(NULL, (size_t)FRAMES * FRAME_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (area == MAP_FAILED)
		fail("take memory");
	for (uint32_t i = FRAMES; i-- > 0;)
		stack[frames_free++] = (uint64_t)i * FRAME_SIZE;
	make_umem(&sides[0]);
	open_side(&sides[0], argv[6]);
	if (argc == 12) {
		number_of_sides = 2;
		open_side(&sides[1], argv[7]);
		read_mac(sides[0].mac, argv[8]);
		read_mac(sides[0].next_hop, argv[9]);
		read_mac(sides[1].mac, argv[10]);
		read_mac(sides[1].next_hop, argv[11]);
	}
	for (int i = 0; i < number_of_sides; i++)
		refill(&sides[i]);
	errno = -xsk_socket__update_xskmap(sides[0].socket, atoi(argv[5]));
	if (errno)
		fail("put the socket into the map");
	puts("ready");
	fflush(stdout);
	begun = cpu_time();
	for (;;) {
		uint32_t n = turn(batch, forwards);

		for (int i = 0; i < number_of_sides; i++)
			wake(&sides[i]);
		if (n == 0 && !spin) {
			struct pollfd waits[3] = { { descriptor(&sides[0]), POLLIN, 0 }, input };

			if (number_of_sides == 2)
				waits[2] = (struct pollfd){ descriptor(&sides[1]), POLLIN, 0 };

			poll(waits, (nfds_t)number_of_sides + 1, IDLE_MS);
			if (waits[1].revents)
				break;
		} else if (n == 0 && ++since % 65536 == 0 && poll(&input, 1, 0) > 0) {
			break;
		}
	}
	/* What came before the end is the receiver's still; with no room to send it waits. */
	for (int quiet = 0; quiet < QUIET_MS; quiet++) {
		if (turn(batch, forwards))
			quiet = -1;
		else
			usleep(1000);
		for (int i = 0; i < number_of_sides; i++)
			wake(&sides[i]);
	}
	printf("{\"packets\": %llu, \"forwarded\": %llu, \"dropped\": %llu, \"cpu\": %llu, \"mode\": \"%s\"}\n",
	       (unsigned long long)packets, (unsigned long long)passed, (unsigned long long)dropped(),
	       (unsigned long long)(cpu_time() - begun), mode());
	return 0;
}
