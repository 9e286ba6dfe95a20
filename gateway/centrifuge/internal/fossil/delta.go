// Package fossil computes deltas in Fossil's format
// (https://fossil-scm.org/home/doc/trunk/www/delta_format.wiki), which the SDKs of the
// Centrifuge family apply. It exists because github.com/centrifugal/fdelta compares up to 250
// candidates per byte, and splits characters, which JSON cannot represent.
package fossil

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Delta returns a delta that turns before into after, or nil if it would not be smaller than
// after. If both are UTF-8, so is the delta. Delta takes time proportional to their lengths.
//
//	delta      size "\n" command… checksum ";"
//	size       number of bytes of after
//	command    number "@" number ","     copy that many bytes of before, from that offset
//	           number ":" byte…          insert that many bytes, which follow
//	checksum   number, of after
//	number     base 64, most significant digit first, with the digits below
func Delta(before, after []byte) []byte {
	w := &writer{after: after, most: len(after)}
	w.number(uint32(len(after)))
	w.delta = append(w.delta, '\n')
	places := index(before)
	for at := 0; at+block <= len(after) && w.fits(); {
		from, found := places.find(after[at:], before)
		if !found {
			at++
			continue
		}
		m := match{at, from, block}.extended(before, after, w.said)
		w.insertUpTo(m.at)
		w.copy(m)
		at = max(at+1, w.said)
	}
	w.insertUpTo(len(after))
	w.number(checksum(after))
	w.delta = append(w.delta, ';')
	if !w.fits() {
		return nil
	}
	return w.delta
}

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"

// writer writes a delta while it is smaller than after.
type writer struct {
	after []byte
	said  int // bytes of after that the delta produces so far
	delta []byte
	most  int
}

func (w *writer) fits() bool { return len(w.delta) < w.most }

func (w *writer) number(n uint32) {
	for shift := (max(bits.Len32(n), 1) - 1) / 6 * 6; shift >= 0; shift -= 6 {
		w.delta = append(w.delta, digits[n>>shift&63])
	}
}

// insertUpTo inserts after[said:end] literally.
func (w *writer) insertUpTo(end int) {
	if end == w.said {
		return
	}
	w.number(uint32(end - w.said))
	w.delta = append(w.delta, ':')
	w.delta = append(w.delta, w.after[w.said:end]...)
	w.said = end
}

func (w *writer) copy(m match) {
	if m.length == 0 {
		return
	}
	w.number(uint32(m.length))
	w.delta = append(w.delta, '@')
	w.number(uint32(m.from))
	w.delta = append(w.delta, ',')
	w.said += m.length
}

// match is a run of bytes that occurs in both messages.
type match struct{ at, from, length int }

// extended returns the match extended as far as possible, but not before offset said, and
// without incomplete characters at its ends. Its length may be 0.
func (m match) extended(before, after []byte, said int) match {
	for m.at > said && m.from > 0 && after[m.at-1] == before[m.from-1] {
		m = match{m.at - 1, m.from - 1, m.length + 1}
	}
	for m.at+m.length < len(after) && m.from+m.length < len(before) && after[m.at+m.length] == before[m.from+m.length] {
		m.length++
	}
	for n := 0; n < utf8.UTFMax-1 && m.length > 0 && !utf8.RuneStart(after[m.at]); n++ {
		m = match{m.at + 1, m.from + 1, m.length - 1}
	}
	for n := 0; n < utf8.UTFMax-1 && m.length > 0 && m.at+m.length < len(after) && !utf8.RuneStart(after[m.at+m.length]); n++ {
		m.length--
	}
	return m
}

// block is the shortest run that can be found, in bytes.
const block = 16

// blocks is a hash table of the blocks of a message. Of blocks with the same hash it
// keeps the first.
type blocks struct {
	places []uint32 // offset + 1; 0 if empty
	shift  int
}

func index(before []byte) blocks {
	size := bits.Len(uint(len(before) / block * 2))
	b := blocks{make([]uint32, 1<<size), 64 - size}
	for at := 0; at+block <= len(before); at += block {
		if place := &b.places[b.place(before[at:])]; *place == 0 {
			*place = uint32(at) + 1
		}
	}
	return b
}

func (b blocks) place(run []byte) uint64 {
	low, high := binary.LittleEndian.Uint64(run), binary.LittleEndian.Uint64(run[8:])
	return (low*0x9e3779b97f4a7c15 ^ bits.RotateLeft64(high, 29)*0xbf58476d1ce4e5b9) >> b.shift
}

// find returns the offset in before of the block that run begins with.
func (b blocks) find(run, before []byte) (from int, found bool) {
	place := b.places[b.place(run)]
	if place == 0 {
		return 0, false
	}
	from = int(place - 1)
	return from, bytes.Equal(run[:block], before[from:][:block])
}

// checksum returns the sum of the 32-bit words of data, padded with zeros.
func checksum(data []byte) (sum uint32) {
	for len(data) >= 4 {
		sum += binary.BigEndian.Uint32(data)
		data = data[4:]
	}
	var last [4]byte
	copy(last[:], data)
	return sum + binary.BigEndian.Uint32(last[:])
}
