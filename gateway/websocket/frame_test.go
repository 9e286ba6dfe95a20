package websocket

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"tidegate/gateway"
)

// say is a protocol that encodes events as their text.
type say struct{ text string }

func (say) Name() string { return "say" }

func (say) Decode(f gateway.Frame) ([]gateway.Command, error) {
	return []gateway.Command{gateway.Malformed{Reason: string(f.Data)}}, nil
}

func (s say) Encode(event gateway.Event) (gateway.Frame, error) {
	switch e := event.(type) {
	case gateway.Failure:
		return gateway.Frame{Data: []byte(e.Message)}, nil
	case gateway.Message:
		return gateway.Frame{Data: e.Payload, Binary: true}, nil
	case gateway.Join:
		return gateway.Frame{Data: []byte(e.User), Others: true}, nil
	case gateway.Gap:
		return gateway.Frame{}, gateway.Missed
	case gateway.Goodbye:
		return gateway.Frame{Data: fmt.Appendf(nil, `{"type":"goodbye","reason":%q}`, e.Reason.Label)}, nil
	}
	return gateway.Frame{}, nil
}

func TestFramed_WritesWholeFrames(t *testing.T) {
	for _, size := range []int{0, 1, 125, 126, 127, 65535, 65536, 100_000} {
		text := strings.Repeat("x", size)
		frame, err := Framed(say{}).Encode(gateway.Failure{Message: text})
		must(t, err)
		r := &rawPeer{t: t, r: bufio.NewReader(bytes.NewReader(frame.Data))}
		if got := r.expectFrame(opText); string(got) != text {
			t.Errorf("a payload of %d bytes reads as one of %d", size, len(got))
		}
		if r.r.Buffered() > 0 {
			t.Errorf("%d bytes follow the frame", r.r.Buffered())
		}
	}
}

func TestFramed_KeepsWhomAFrameIsNotFor(t *testing.T) {
	for name, p := range map[string]gateway.Protocol{"plain": Framed(say{}), "compressed": NewDeflate(1).Framed(say{})} {
		if frame, err := p.Encode(gateway.Join{User: "alice"}); err != nil || !frame.Others {
			t.Errorf("%s: %+v, %v; want it for the others", name, frame, err)
		}
		if frame, err := p.Encode(gateway.Failure{Message: "no"}); err != nil || frame.Others {
			t.Errorf("%s: %+v, %v; want it for all", name, frame, err)
		}
	}
}

func TestFramed_SaysOnlyWhatTheProtocolSays(t *testing.T) {
	if frame, err := Framed(say{}).Encode(gateway.Pong{}); err != nil || frame.Data != nil {
		t.Errorf("nothing became %q, %v", frame.Data, err)
	}
	if frame, err := Framed(say{}).Encode(gateway.Heartbeat{}); err != nil || string(frame.Data) != "\x89\x00" {
		t.Errorf("a heartbeat is %q, %v; want a ping", frame.Data, err)
	}
	if _, err := Framed(say{}).Encode(gateway.Gap{}); !errors.Is(err, gateway.Missed) {
		t.Errorf("error %v, want the protocol's", err)
	}
}

func TestFramed_IsOneProtocolForEqualOnes(t *testing.T) {
	if Framed(say{"a"}) != Framed(say{"a"}) || Framed(say{"a"}) == Framed(say{"b"}) {
		t.Error("framed protocols do not compare as their protocols do")
	}
}

func (say) Farewell(r gateway.Reason) (code int, text string) { return r.Code, r.Text }

// frameIn, in the memory of the payload, makes the same frame as frameOf.
func TestFrameIn_IsFrameOf(t *testing.T) {
	for _, size := range []int{0, 1, maxControl, maxControl + 1, math.MaxUint16, math.MaxUint16 + 1} {
		for _, room := range []int{0, 3, maxHeader} {
			payload := append(make([]byte, 0, size+room), strings.Repeat("x", size)...)
			want := frameOf(opText, payload)
			if got := frameIn(opText, payload); !bytes.Equal(got, want) {
				t.Errorf("%d bytes with room for %d: %.20q, want %.20q", size, room, got, want)
			}
		}
	}
}
