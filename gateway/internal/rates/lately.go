package rates

import (
	"hash/maphash"
	"sync/atomic"
)

// lately remembers, approximately, the channels that were published to recently, by anybody.
// Each channel has one slot and stays there until another channel with the same slot comes.
type lately struct {
	// Fixed at birth.
	seed   maphash.Seed
	places []atomic.Uint64 // hash of the last channel in each slot
}

// placesLately is large enough that channels in use seldom share a slot. The slots take 512 KiB.
const placesLately = 1 << 16

func newLately() lately { return lately{maphash.MakeSeed(), make([]atomic.Uint64, placesLately)} }

// placeOf returns the slot of a channel, and the mark that the slot holds if that
// channel was the last.
func (l *lately) placeOf(channel string) (place *atomic.Uint64, mark uint64) {
	hash := maphash.String(l.seed, channel)
	return &l.places[hash%placesLately], hash
}
