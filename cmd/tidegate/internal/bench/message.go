package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// channelPrefix begins the names of all channels that a benchmark uses.
const channelPrefix = "bench:"

func payloadText(size int) string {
	return payloadBefore + strings.Repeat("0", publicationDigits) + payloadBetween + padding(size-leastPayload) + payloadAfter
}

// padding returns a text that compresses about as well as real JSON: a list of items with
// random prices.
func padding(size int) string {
	random := rand.New(rand.NewPCG(1, 1))
	var pad strings.Builder
	for pad.Len() < size {
		fmt.Fprintf(&pad, "{id:%d,item:shelf-%d,price:%.2f,at:%d},", random.IntN(1e6), random.IntN(1000), random.Float64()*1000, 1_700_000_000_000+random.Int64N(1e9))
	}
	return pad.String()[:size]
}

// publication is the data that a benchmark puts into each message: three numbers of 16
// hexadecimal digits each. They follow a mark that occurs nowhere else and needs no escaping
// in a JSON string.
type publication struct {
	number uint64        // counts the messages of a channel, from 1
	slot   uint64        // in the window; noSlot if it has none
	due    time.Duration // when it was to be sent, since epoch
}

const (
	publicationMark   = "bench="
	publicationDigits = 3 * 16
	payloadBefore     = `{"bench":"` + publicationMark
	payloadBetween    = `","pad":"`
	payloadAfter      = `"}`
	leastPayload      = len(payloadBefore) + publicationDigits + len(payloadBetween) + len(payloadAfter)
	noSlot            = 1<<64 - 1
)

// digitsAt returns where the digits of the first publication in a frame begin, or -1.
func digitsAt(frame []byte) int {
	at := bytes.Index(frame, []byte(publicationMark))
	if at < 0 || len(frame) < at+len(publicationMark)+publicationDigits {
		return -1
	}
	return at + len(publicationMark)
}

// nextPublication returns the first publication in a frame and the rest of the frame after
// it, since some servers put several messages into a frame. ok is false if there is none.
func nextPublication(frame []byte) (p publication, rest []byte, ok bool) {
	at := digitsAt(frame)
	if at < 0 {
		return p, nil, false
	}
	digits := frame[at:]
	p = publication{number: parseHex(digits), slot: parseHex(digits[16:]), due: time.Duration(parseHex(digits[32:]))}
	return p, digits[publicationDigits:], true
}

// put writes the publication over digits, in the form that nextPublication reads.
func (p publication) put(digits []byte) {
	putHex(digits, p.number)
	putHex(digits[16:], p.slot)
	putHex(digits[32:], uint64(p.due))
}

const hexDigits = "0123456789abcdef"

func putHex(to []byte, n uint64) {
	for i := 15; i >= 0; i-- {
		to[i] = hexDigits[n&15]
		n >>= 4
	}
}

func parseHex(from []byte) (n uint64) {
	for _, c := range from[:16] {
		digit := c - '0'
		if c >= 'a' {
			digit = c - 'a' + 10
		}
		n = n<<4 | uint64(digit)
	}
	return n
}
