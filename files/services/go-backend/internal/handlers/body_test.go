package handlers_test

import (
	"bytes"
	"strings"
	"testing"

	"tripod/go-backend/internal/handlers"
)

// TestEchoAnswersPacketsOfSeveralBuffers parts them at every place behind the headers, odd ones too.
func TestEchoAnswersPacketsOfSeveralBuffers(t *testing.T) {
	echo, payload := handlers.NewEcho(ourMAC, ours), strings.Repeat("all sorts of bytes, ", 7)+"odd"
	for name, one := range map[string]struct {
		request []byte
		headers int
	}{
		"UDP":                    {ipv4(theirs4, ours4, 17, summed(udp(40000, 7, payload), 6, 17, theirs4, ours4)), 42},
		"UDP without a checksum": {ipv4(theirs4, ours4, 17, udp(40000, 7, payload)), 42},
		"UDP over IPv6":          {ipv6(theirs6, ours6, 17, 7, summed(udp(40000, 9, payload), 6, 17, theirs6, ours6)), 62},
		"ping":                   {ipv4(theirs4, ours4, 1, summed(icmp(8, payload), 2, 0)), 42},
		"ping over IPv6":         {ipv6(theirs6, ours6, 58, 7, summed(icmp(128, payload), 2, 58, theirs6, ours6)), 62},
	} {
		request := one.request
		expected, reason := handle(t, echo, request)
		if expected == nil {
			t.Fatalf("%s: %s", name, reason)
		}
		for first := one.headers; first < len(request); first += 3 {
			second := (first + len(request)) / 2
			got, reason := handle(t, echo, request[:first], request[first:second], request[second:])
			if !bytes.Equal(got, expected) {
				t.Errorf("%s, parted at %d and %d: %s\n% x, expected\n% x", name, first, second, reason, got, expected)
			}
			wrong := changed(request, len(request)-1, 0)
			if _, reason := handle(t, echo, wrong[:first], wrong[first:]); reason != "checksum" && name != "UDP without a checksum" {
				t.Errorf("%s with another last byte, parted at %d: %q", name, first, reason)
			}
			if _, reason := handle(t, echo, request[:first], request[first:len(request)-1]); reason != "malformed" {
				t.Errorf("%s without its last byte, parted at %d: %q", name, first, reason)
			}
		}
	}
}

// TestEchoIgnoresWhatFollowsAPacketInFurtherBuffers has bytes that no length counts.
func TestEchoIgnoresWhatFollowsAPacketInFurtherBuffers(t *testing.T) {
	echo := handlers.NewEcho(ourMAC, ours)
	request := ipv4(theirs4, ours4, 17, summed(udp(40000, 7, "hello"), 6, 17, theirs4, ours4))
	if _, reason := handle(t, echo, request, []byte{0xff}); reason != "" {
		t.Error(reason)
	}
	asks := frame(ourMAC, theirMAC, 0x0806, join([]byte{0, 1, 8, 0, 6, 4, 0, 1}, theirMAC[:], theirs4, make([]byte, 6), ours4))
	solicits := ipv6(theirs6, ours6, 58, 255, summed(solicitation(ours6), 2, 58, theirs6, ours6))
	for _, request := range [][]byte{asks, solicits} {
		if _, reason := handle(t, echo, request, []byte{0xff}); reason != "unsupported" {
			t.Errorf("%q of % x", reason, request)
		}
	}
}
