package api

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/gateway"
	"tidegate/gateway/transport"
)

// readBody returns the whole body: see openBody.
func (r *request) readBody(most int) ([]byte, error) {
	body, err := r.openBody(most)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(body)
}

// openBody returns the body. Any error, also one of reading, is a *gateway.Error. The memory
// of the body is charged to the payer until the request has been answered.
func (r *request) openBody(most int) (io.Reader, error) {
	if err := checkMedia(r.Header); err != nil {
		return nil, err
	}
	return transport.OpenBody(r.hold, r.writer, r.Request, most)
}

// checkMedia refuses text that is not UTF-8, which the API would have to decode first.
func checkMedia(header http.Header) error {
	media, parameters, err := mime.ParseMediaType(header.Get("Content-Type"))
	isText := strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "json") || media == formMedia
	switch charset := parameters["charset"]; strings.ToLower(charset) {
	case "", "utf-8", "us-ascii":
		return nil
	default:
		if err != nil || !isText {
			return nil // malformed, or not text
		}
		return transport.WithStatus(http.StatusUnsupportedMediaType, fail(gateway.BadRequest, "the body is in %.40q: send UTF-8", charset))
	}
}

// formMedia is what curl sends if no Content-Type is given.
const formMedia = "application/x-www-form-urlencoded"

// kindOf returns the kind of a payload, by its content type:
//
//	application/json, */*+json     JSON, which must be valid
//	text/*                         text, which must be UTF-8
//	none, or formMedia             JSON if it is valid, else text if it is UTF-8, else binary
//	any other                      binary
func kindOf(contentType string, payload []byte) (broker.Kind, error) {
	if contentType == "" {
		return sniff(payload), nil
	}
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, fail(gateway.BadRequest, "the header Content-Type is malformed: want something like application/json")
	}
	switch {
	case media == formMedia:
		return sniff(payload), nil
	case media == "application/json", strings.HasSuffix(media, "+json"):
		if !isJSON(payload) {
			return 0, fail(gateway.BadRequest, "the body is not one JSON value, as its Content-Type says")
		}
		return broker.JSON, nil
	case strings.HasPrefix(media, "text/"):
		if !utf8.Valid(payload) {
			return 0, fail(gateway.BadRequest, "the body is not UTF-8: send text so, or another Content-Type")
		}
		return broker.Text, nil
	}
	return broker.Binary, nil
}

func sniff(payload []byte) broker.Kind {
	switch {
	case isJSON(payload):
		return broker.JSON
	case utf8.Valid(payload):
		return broker.Text
	}
	return broker.Binary
}

// isJSON also requires UTF-8, which json.Valid does not check.
func isJSON(payload []byte) bool { return json.Valid(payload) && utf8.Valid(payload) }
