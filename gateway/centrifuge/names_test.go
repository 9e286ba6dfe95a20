package centrifuge_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"tidegate/gateway/centrifuge/internal/wire"
)

// oddNames are invalid names of channels and users: their invisible characters would make
// one name look like another.
var oddNames = []string{
	"", "a b", "a\tb", "a\nb", "a\u0000b", "a\u0007b", "a\u007fb", "a\u00a0b", "a\u2028b", "a\u200bb", "a\u200db", "a\u2060b", "a\ufeffb",
	"a\u202eb", "a\u2066b", "a\u061cb", "a\u115fb", "a\u3164b", "a\ufe0fb", "a\U000e0041b", strings.Repeat("x", 256),
}

// A command with an invalid channel name gets an error, in both formats, and the session goes on.
func TestNames_ThatAreNoneAreBadRequests(t *testing.T) {
	_, nodes := startNodes(t, "one")
	said := map[string]func(channel string) *wire.Command{
		"subscribe": func(c string) *wire.Command { return &wire.Command{Subscribe: &wire.SubscribeRequest{Channel: c}} },
		"publish": func(c string) *wire.Command {
			return &wire.Command{Publish: &wire.PublishRequest{Channel: c, Data: []byte("1")}}
		},
		"presence": func(c string) *wire.Command { return &wire.Command{Presence: &wire.ChannelRequest{Channel: c}} },
		"presence_stats": func(c string) *wire.Command {
			return &wire.Command{PresenceStats: &wire.ChannelRequest{Channel: c}}
		},
		"history": func(c string) *wire.Command {
			return &wire.Command{History: &wire.HistoryRequest{Channel: c, Limit: 1}}
		},
		"sub_refresh": func(c string) *wire.Command { return &wire.Command{SubRefresh: &wire.SubRefreshRequest{Channel: c}} },
	}
	inJSON, inProtobuf := connectJSON(t, nodes[0]), connectProtobuf(t, nodes[0])
	id := uint32(2)
	for command, of := range said {
		for _, name := range oddNames {
			data := ""
			if command == "publish" {
				data = `,"data":1`
			}
			id++
			say(t, inJSON, fmt.Sprintf(`{"id":%d,%q:{"channel":%s%s}}`, id, command, quoted(name), data))
			hear(t, inJSON, func(frame []byte) bool {
				about, rest, is := strings.Cut(string(frame), fmt.Sprintf(`"id":%d,`, id))
				if is && (about != "{" || !strings.HasPrefix(rest, `"error":{"code":107,`)) {
					t.Errorf("%s of %+q in JSON: %s", command, name, frame)
				}
				return is
			})
			asked := of(name)
			asked.Id = id
			must(t, inProtobuf.Write(t.Context(), websocket.MessageBinary, delimited(t, asked)))
			hear(t, inProtobuf, func(frame []byte) bool {
				reply := replyIn(frame)
				if reply.Id == id && reply.GetError().GetCode() != 107 {
					t.Errorf("%s of %+q in Protobuf: %v", command, name, reply)
				}
				return reply.Id == id
			})
		}
	}
}

// quoted returns a name as a JSON string, with all non-ASCII characters escaped.
func quoted(name string) string {
	text := strconv.QuoteToASCII(name)
	return strings.NewReplacer(`\U000e0041`, `\udb40\udc41`, `\x00`, `\u0000`, `\a`, `\u0007`, `\x7f`, `\u007f`).Replace(text)
}

func TestNames_OfTheServerAPIAreNamesToo(t *testing.T) {
	_, post := startAPI(t)
	for _, name := range oddNames {
		odd := quoted(name)
		for method, body := range map[string]string{
			"publish":        `{"data":1,"channel":` + odd + `}`,
			"subscribe":      `{"user":"alice","channel":` + odd + `}`,
			"unsubscribe":    `{"user":"alice","channel":` + odd + `}`,
			"presence":       `{"channel":` + odd + `}`,
			"presence_stats": `{"channel":` + odd + `}`,
			"history":        `{"channel":` + odd + `}`,
			"history_remove": `{"channel":` + odd + `}`,
			"disconnect":     `{"user":` + odd + `}`,
			"refresh":        `{"user":` + odd + `}`,
		} {
			if _, answer := post(method, body, "secret"); !strings.HasPrefix(answer, `{"error":{"code":107,`) {
				t.Errorf("%s %s: %s", method, body, answer)
			}
		}
		for method, body := range map[string]string{"subscribe": `{"channel":"chat","user":` + odd + `}`, "unsubscribe": `{"channel":"chat","user":` + odd + `}`} {
			if _, answer := post(method, body, "secret"); !strings.HasPrefix(answer, `{"error":{"code":107,`) {
				t.Errorf("%s %s: %s", method, body, answer)
			}
		}
	}
}

// A connect request that is nested too deep gets an error reply.
func TestConnect_NestedTooDeepIsRefused(t *testing.T) {
	_, nodes := startNodes(t, "one")
	c := dial(t, nodes[0], "/connection/websocket")
	say(t, c, `{"id":1,"connect":{"data":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}}`)
	hear(t, c, contains(`{"id":1,"error":{"code":107,"message":"the JSON is nested too deep`))
}
