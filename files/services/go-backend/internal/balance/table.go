package balance

import (
	"math"
	"math/bits"
	"net/netip"
)

// slots is how many buckets flows are hashed into: with 256 backends each has 256 of them, and shares are even to a tenth.
// The table takes 128 KiB, which a CPU keeps in its second cache.
const slots = 1 << 16

// none is the slot's where nobody lives.
const none = math.MaxUint16

// table says which backend has the flows of a slot.
type table [slots]uint16

// fill gives every slot to the one of the backends that live which draws the lot for it (rendezvous hashing, Thaler and
// Ravishankar 1998, with weights by exponential draws). A lot depends on slot and backend alone. So where a backend goes its
// slots alone have new owners, where it comes back it has the same again, and whoever knows the same backends, in any order,
// has the same table.
func (t *table) fill(backends []Backend, alive []bool) {
	seeds, weighted := make([]uint64, len(backends)), false
	for i, backend := range backends {
		seeds[i] = identity(backend.Address)
		weighted = weighted || backend.Weight != backends[0].Weight
	}
	for slot := range t {
		winner, least := none, math.Inf(1)
		for i := range backends {
			if !alive[i] {
				continue
			}
			// Uniform in (0, 1], with all the bits that there are.
			uniform := (float64(mix(seeds[i], uint64(slot)+1)>>11) + 1) / (1 << 53)
			lot := -uniform
			if weighted {
				// Logarithms keep the order among those of one weight, and take most of the time.
				lot = -math.Log(uniform) / float64(backends[i].Weight)
			}
			if lot < least {
				winner, least = i, lot
			}
		}
		t[slot] = uint16(winner)
	}
}

// shares counts the slots of each backend.
func (t *table) shares(backends int) []int {
	counts := make([]int, backends)
	for _, owner := range t {
		if owner != none {
			counts[owner]++
		}
	}
	return counts
}

func identity(address netip.Addr) uint64 {
	bytes := address.As16()
	var low, high uint64
	for i := range 8 {
		high, low = high<<8|uint64(bytes[i]), low<<8|uint64(bytes[8+i])
	}
	return mix(mix(high, 1), low)
}

// mix makes one number of two, each bit of which depends on all of theirs: the product's halves, as in wyhash, and the
// finalizer of SplitMix64.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a^0xa0761d6478bd642f, b^0xe7037ed1a0b428db)
	z := high ^ low
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
