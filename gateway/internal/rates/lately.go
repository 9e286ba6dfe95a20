package rates

import (
	"hash/maphash"
	"sync/atomic"
)

// lately is the channels that were published to lately, whoever did it. Each has one
// place, where it is until another one comes that has the same.
type lately struct {
	// Fixed at birth.
	seed   maphash.Seed
	places []atomic.Uint64 // hashes of channels
}

// placesLately are so many that channels in use seldom share one. They take 512 KiB.
const placesLately = 1 << 16

func newLately() lately { return lately{maphash.MakeSeed(), make([]atomic.Uint64, placesLately)} }

// placeOf returns the place of a channel, and what stands there if it was the last one.
func (l *lately) placeOf(channel string) (place *atomic.Uint64, mark uint64) {
	hash := maphash.String(l.seed, channel)
	return &l.places[hash%placesLately], hash
}
