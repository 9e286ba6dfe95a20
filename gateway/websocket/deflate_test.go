package websocket

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"tidegate/gateway"

	"github.com/klauspost/compress/flate"
)

// These are the examples of RFC 7692, section 7.2.3, that need no context.
func TestDeflate_InflatesTheExamples(t *testing.T) {
	d := NewDeflate(0)
	for name, example := range map[string][2]string{
		"one block":            {"\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello"},
		"no compression":       {"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00", "Hello"},
		"BFINAL":               {"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello"},
		"BFINAL, no 0 behind":  {"\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello"},
		"two blocks":           {"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello"},
		"an empty message":     {"\x02\x00", ""},
		"an empty block":       {"\x00", ""},
		"no bytes, no message": {"", ""},
	} {
		got, err := d.inflate(nil, []byte(example[0]), 100)
		if example[0] == "" {
			if !errors.Is(err, gateway.InvalidData) {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			continue
		}
		if err != nil || string(got) != example[1] {
			t.Errorf("%s: %q, %v; want %q", name, got, err, example[1])
		}
	}
}

func TestDeflate_RefusesWhatIsNotCompressed(t *testing.T) {
	d := NewDeflate(0)
	whole := string(deflated8(t, strings.Repeat("some text ", 100)))
	for name, data := range map[string]string{
		"a bad block":          "\xff\xff\xff",
		"a bad length":         "\x00\x05\x00\x00\x00hello",
		"a truncated message":  whole[:len(whole)/2],
		"a stream and another": "\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
		"a stream and bytes":   "\xf3\x48\xcd\xc9\xc9\x07\x00x",
		"a former window":      "\xf2\x00\x11\x00\x00", // the example of section 7.2.3.2: "Hello" again
	} {
		if got, err := d.inflate(nil, []byte(data), 10_000); !errors.Is(err, gateway.InvalidData) {
			t.Errorf("%s: %q, %v; want %v", name, got, err, gateway.InvalidData)
		}
		if got, err := d.inflate(nil, []byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), 100); err != nil || string(got) != "Hello" {
			t.Errorf("%s: the next message is %q, %v", name, got, err)
		}
	}
}

// deflated8 returns a text as a message that another compressor has compressed.
func deflated8(t testing.TB, text string) []byte {
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, 9)
	must(t, err)
	w.Write([]byte(text))
	w.Flush()
	return bytes.TrimSuffix(out.Bytes(), []byte(flushed))
}

// A message of 8 KB that would inflate to 8 MB is not inflated beyond the limit.
func TestDeflate_ABombIsNotInflatedBeyondTheLimit(t *testing.T) {
	d := NewDeflate(0)
	bomb := deflated8(t, strings.Repeat("0", 8<<20))
	if len(bomb) > 20<<10 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	const limit = 10_000
	buf, err := d.inflate(make([]byte, 0, 100), bytes.Clone(bomb), limit)
	if !errors.Is(err, gateway.TooBig) || len(buf) != limit+1 || cap(buf) > 2*limit {
		t.Errorf("%d bytes in %d, %v; want %d and %v", len(buf), cap(buf), err, limit+1, gateway.TooBig)
	}
	for _, size := range []int{limit - 1, limit, limit + 1} {
		buf, err := d.inflate(nil, deflated8(t, strings.Repeat("0", size)), limit)
		if (err == nil) != (size <= limit) {
			t.Errorf("%d bytes: %d, %v", size, len(buf), err)
		}
	}
	if buf, err := d.inflate(nil, bytes.Clone(bomb), -1); err != nil || len(buf) != 8<<20 {
		t.Errorf("without a limit: %d bytes, %v", len(buf), err)
	}
}

// A frame must not depend on what was compressed before it. Otherwise its length would
// reveal something about that, and sessions that have not received it could not inflate the
// frame.
func TestDeflate_MessagesShareNoContext(t *testing.T) {
	d := NewDeflate(0)
	secret := []byte(`{"token":"` + strings.Repeat("0123456789abcdef", 4) + `"}`)
	alone := bytes.Clone(d.frame(opText, secret))
	for range 3 {
		d.frame(opText, append(bytes.Clone(secret), " and what else somebody said"...))
		if got := d.frame(opText, secret); !bytes.Equal(got, alone) {
			t.Fatalf("%x after another message, %x alone", got, alone)
		}
	}
}

func TestDeflate_CompressesWhereItPays(t *testing.T) {
	d := NewDeflate(100)
	noise := make([]byte, 1000)
	rand.New(rand.NewSource(1)).Read(noise)
	for name, message := range map[string]struct {
		payload    string
		compressed bool
	}{
		"nothing":         {"", false},
		"below the bound": {strings.Repeat("x", 99), false},
		"at the bound":    {strings.Repeat("x", 100), true},
		"noise":           {string(noise), false},
		"a long text":     {strings.Repeat("some text ", 20_000), true},
	} {
		for _, opcode := range []byte{opText, opBinary} {
			frame := d.frame(opcode, []byte(message.payload))
			r := &rawPeer{t: t, r: bufio.NewReader(bytes.NewReader(frame))}
			first, payload, err := r.readFrame()
			if err != nil || r.r.Buffered() > 0 {
				t.Fatalf("%s: %v, and %d bytes more", name, err, r.r.Buffered())
			}
			if got := first&rsv1 != 0; got != message.compressed || first&^rsv1 != final|opcode {
				t.Errorf("%s: the first byte is %#x", name, first)
			}
			if message.compressed {
				if payload, err = d.inflate(nil, payload, -1); err != nil {
					t.Fatal(err)
				}
			}
			if string(payload) != message.payload {
				t.Errorf("%s: became %q", name, payload)
			}
		}
	}
}

// However many goroutines compress at once, there are no more compressors than processors.
func TestDeflate_HasFewCompressors(t *testing.T) {
	d := NewDeflate(0)
	var all sync.WaitGroup
	for i := range 50 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			text := strings.Repeat(fmt.Sprint(i), 1000)
			frame := d.frame(opBinary, []byte(text))
			if got, err := d.inflate(nil, frame[2:], -1); err != nil || string(got) != text {
				t.Errorf("%d bytes became %d, %v", len(text), len(got), err)
			}
		})
	}
	all.Wait()
	if n := len(d.compressors.spare); n == 0 || n > runtime.GOMAXPROCS(0) {
		t.Errorf("there are %d compressors", n)
	}
	if n := len(d.inflaters.spare); n == 0 || n > runtime.GOMAXPROCS(0) {
		t.Errorf("there are %d inflaters", n)
	}
}

// If all objects are in use, take waits until one is free.
func TestDeflate_MakesNoMoreThanThereMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDeflate(0)
		waitsForOne(t, &d.compressors, func() { d.frame(opText, []byte("some text")) })
		waitsForOne(t, &d.inflaters, func() { _, _ = d.inflate(nil, []byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), -1) })
	})
}

func waitsForOne[T any](t *testing.T, s *stock[T], use func()) {
	t.Helper()
	var lent []T
	for range runtime.GOMAXPROCS(0) {
		lent = append(lent, s.take())
	}
	done := make(chan struct{})
	go func() { defer close(done); use() }()
	synctest.Wait()
	select {
	case <-done:
		t.Errorf("there are more than %d of %T", len(lent), lent[0])
	default:
	}
	for _, one := range lent {
		s.put(one)
	}
	<-done
}

func TestDeflate_OneCompressorServesWhoComesAfterAnother(t *testing.T) {
	d := NewDeflate(0)
	for range 10 {
		d.frame(opText, []byte(jsonOf(1024)))
		d.frame(opText, []byte(jsonOf(1<<20)))
	}
	if n := len(d.compressors.spare); n != 1 {
		t.Fatalf("there are %d compressors", n)
	}
	if kept := d.compressors.take().out.Cap(); kept > longBuffer {
		t.Errorf("%d bytes are kept after a long message", kept)
	}
}

func TestDeflate_AllocatesTheFrameAlone(t *testing.T) {
	d := NewDeflate(0)
	payload := []byte(jsonOf(1024))
	d.frame(opText, payload) // grows the compressor's buffer
	if got := testing.AllocsPerRun(100, func() { d.frame(opText, payload) }); got > 1 {
		t.Errorf("a frame allocates %v times", got)
	}
	packed := append(deflated8(t, string(payload)), ending...)
	packed = packed[:len(packed)-len(ending)]
	buf := make([]byte, 0, 2048)
	if got := testing.AllocsPerRun(100, func() { d.inflate(buf, packed, 2000) }); got > 0 {
		t.Errorf("inflating allocates %v times", got)
	}
}

// FuzzInflate checks that the limit holds for all input, and that one message does not
// affect the next.
func FuzzInflate(f *testing.F) {
	f.Add([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"))
	f.Add([]byte("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"))
	f.Add(deflated8(f, strings.Repeat("0", 5000)))
	d := NewDeflate(0)
	f.Fuzz(func(t *testing.T, packed []byte) {
		const limit = 1000
		got, err := d.inflate(nil, bytes.Clone(packed), limit)
		var reason gateway.Reason
		if len(got) > limit+1 || err != nil && !errors.As(err, &reason) || err == nil && len(got) > limit {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		if next, err := d.inflate(nil, []byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), limit); err != nil || string(next) != "Hello" {
			t.Fatalf("the next message is %q, %v", next, err)
		}
	})
}

// FuzzDeflate checks that a payload survives compression and inflation unchanged.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte(jsonOf(1024)))
	f.Add([]byte{})
	d := NewDeflate(10)
	f.Fuzz(func(t *testing.T, payload []byte) {
		r := &rawPeer{t: t, r: bufio.NewReader(bytes.NewReader(d.frame(opBinary, payload)))}
		first, got, err := r.readFrame()
		if err == nil && first&rsv1 != 0 {
			got, err = d.inflate(nil, got, int64(len(payload)))
		}
		if err != nil || !bytes.Equal(got, payload) {
			t.Errorf("%q became %q, %v", payload, got, err)
		}
	})
}

// jsonOf returns a JSON array of about size bytes, similar to a feed of prices.
func jsonOf(size int) string {
	random := rand.New(rand.NewSource(1))
	var rows strings.Builder
	for rows.Len() < size-80 {
		fmt.Fprintf(&rows, `,{"id":%d,"name":"item-%d","price":%.2f,"side":%q,"at":%d}`, random.Intn(1e6), random.Intn(1000),
			float64(random.Intn(1e7))/100, []string{"buy", "sell"}[random.Intn(2)], 1_700_000_000_000+random.Int63n(1e9))
	}
	return "[" + rows.String()[1:] + "]"
}

func BenchmarkDeflate_Frame(b *testing.B) {
	d := NewDeflate(0)
	for _, size := range []int{256, 1024, 16 << 10} {
		payload := []byte(jsonOf(size))
		b.Run(fmt.Sprintf("bytes=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			var frame []byte
			for b.Loop() {
				frame = d.frame(opText, payload)
			}
			b.ReportMetric(float64(len(frame))/float64(len(payload)), "of-the-size")
		})
	}
}

func BenchmarkDeflate_Inflate(b *testing.B) {
	d := NewDeflate(0)
	packed := deflated8(b, jsonOf(1024))
	buf := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		d.inflate(buf, packed, 2000)
	}
}
