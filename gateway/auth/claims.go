package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tidegate/broker"
	"tidegate/broker/jsontext"
	"tidegate/gateway"
	"tidegate/gateway/rules"
)

// Claims are the claims of a token:
//
//	claim      value                          meaning
//	sub        string                         the user; anonymous if absent
//	info       any JSON, 1 KB                 shown with the user in presence
//	subscribe  list of patterns               channels that it allows to subscribe to
//	publish    list of patterns               channels that it allows to publish to
//	channels   list of channels               subscribed from the start
//	channel    a channel                      the token is valid only for this channel: it
//	                                          authorizes its user there, and opens no session
//	exp, nbf   seconds since 1970             valid until, valid from; always if absent
//	jti        string, 512 bytes              id, for revoking the token
//	iat        seconds since 1970             when it was issued, for revoking the token
//	iss        string                         who issued it
//	aud        string or list of strings      whom it is for
//
// (RFC 7519, 4.1, except for info, subscribe, publish, channels and channel.) Names are
// case-sensitive and must not occur twice. Other claims are ignored.
type Claims struct {
	User      string
	Info      json.RawMessage
	Subscribe []string
	Publish   []string
	Channels  []string
	Channel   string
	ID        string
	Issuer    string
	Audience  []string
	Expires   time.Time // to the second
	NotBefore time.Time // to the second
	IssuedAt  time.Time // to the second
}

const maxTokenID = 512

// validate returns why the gateway refuses c, whoever signed it, or nil.
func (c *Claims) validate() error {
	// encoding/json writes U+FFFD for invalid UTF-8 and for half of a surrogate pair. That
	// would make different users the same.
	if bytes.ContainsRune([]byte(c.User), utf8.RuneError) ||
		c.User != "" && rules.CheckChannel(rules.PersonalChannel(c.User)) != nil {
		return refuse(malformed, `the token's claim "sub" is no user name: want 1 to 254 bytes of UTF-8 without spaces, control characters and characters that cannot be seen`)
	}
	if len(c.Info) > gateway.MostInfo || broker.Nested(c.Info) {
		return refuse(malformed, `the token's claim "info" has %d bytes: at most %d, and %d levels, are accepted`, len(c.Info), gateway.MostInfo, broker.MostNested)
	}
	if len(c.ID) > maxTokenID {
		return refuse(malformed, `the token's claim "jti" has %d bytes: at most %d are accepted`, len(c.ID), maxTokenID)
	}
	return c.validateChannels()
}

func (c *Claims) validateChannels() error {
	if c.Channel != "" && rules.CheckChannel(c.Channel) != nil {
		return refuse(malformed, `the token's claim "channel" is no channel's name`)
	}
	for _, channel := range c.Channels {
		if rules.CheckChannel(channel) != nil {
			return refuse(malformed, `the token's claim "channels" has a name in it that is no channel: want 1 to 255 bytes of UTF-8 without spaces, control characters and characters that cannot be seen`)
		}
		if strings.HasPrefix(channel, rules.PersonalChannel("")) && channel != rules.PersonalChannel(c.User) {
			return refuse(malformed, `the token's claim "channels" names the personal channel of another user than "sub"`)
		}
	}
	return nil
}

// principal returns the principal of the token. It expires leeway after the token, which is
// when the gateway would stop accepting the token, so that a clock that is off by less
// closes no session.
func (c *Claims) principal(leeway time.Duration) gateway.Principal {
	p := gateway.Principal{
		User: c.User, Info: c.Info,
		Subscribe: c.Subscribe, Publish: c.Publish, Channels: c.Channels,
		Token: gateway.TokenInfo{Shown: true, ID: c.ID, Issued: c.IssuedAt, Channel: c.Channel},
	}
	if !c.Expires.IsZero() {
		p.Expires = c.Expires.Add(leeway)
	}
	return p
}

// MarshalJSON leaves out claims that are not set.
func (c Claims) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		User      string          `json:"sub,omitempty"`
		Info      json.RawMessage `json:"info,omitempty"`
		Subscribe []string        `json:"subscribe,omitempty"`
		Publish   []string        `json:"publish,omitempty"`
		Channels  []string        `json:"channels,omitempty"`
		Channel   string          `json:"channel,omitempty"`
		ID        string          `json:"jti,omitempty"`
		Issuer    string          `json:"iss,omitempty"`
		Audience  []string        `json:"aud,omitempty"`
		Expires   int64           `json:"exp,omitempty"`
		NotBefore int64           `json:"nbf,omitempty"`
		IssuedAt  int64           `json:"iat,omitempty"`
	}{
		c.User, c.Info, c.Subscribe, c.Publish, c.Channels, c.Channel, c.ID, c.Issuer, c.Audience,
		seconds(c.Expires), seconds(c.NotBefore), seconds(c.IssuedAt),
	})
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// UnmarshalJSON parses the claims of a token. Its errors are refusals.
func (c *Claims) UnmarshalJSON(data []byte) error {
	if !utf8.Valid(data) {
		return refuse(malformed, "the token's claims are not UTF-8")
	}
	// This does not decode into a struct, because encoding/json would accept "SUB" for
	// "sub" and merge claims that occur twice.
	seen := make(map[string]bool)
	var err error
	isObject := jsontext.Fields(data, func(name, value []byte) {
		switch {
		case err != nil:
		case seen[string(name)]:
			err = refuse(malformed, "the token has a claim twice")
		default:
			seen[string(name)] = true
			err = c.decodeMember(name, value)
		}
	})
	if err == nil && !isObject {
		err = refuse(malformed, "the token's claims are not a JSON object of at most %d levels", broker.MostNested)
	}
	return err
}

func (c *Claims) decodeMember(name, value []byte) error {
	var err error
	want := "a list of strings"
	switch string(name) {
	case "sub":
		want, err = "a string", decodeString(value, &c.User)
	case "jti":
		want, err = "a string", decodeString(value, &c.ID)
	case "iss":
		want, err = "a string", decodeString(value, &c.Issuer)
	case "info":
		c.Info = jsontext.Compact(value)
	case "subscribe":
		err = json.Unmarshal(value, &c.Subscribe)
	case "publish":
		err = json.Unmarshal(value, &c.Publish)
	case "channels":
		err = json.Unmarshal(value, &c.Channels)
	case "channel":
		want, err = "a string", decodeString(value, &c.Channel)
	case "aud":
		want, err = "a string or a list of strings", decodeAudience(value, &c.Audience)
	case "exp":
		want, err = "a number of seconds since 1970", decodeDate(value, &c.Expires)
	case "nbf":
		want, err = "a number of seconds since 1970", decodeDate(value, &c.NotBefore)
	case "iat":
		want, err = "a number of seconds since 1970", decodeDate(value, &c.IssuedAt)
	}
	if err != nil {
		return refuse(malformed, "the token's claim %.32q is not %s", name, want)
	}
	return nil
}

// decodeAudience decodes a string or a list (RFC 7519, 4.1.3).
func decodeAudience(value []byte, into *[]string) error {
	var one string
	if decodeString(value, &one) != nil {
		return json.Unmarshal(value, into)
	}
	if one != "" {
		*into = []string{one}
	}
	return nil
}

// decodeString decodes a string. Like encoding/json, it leaves *into unchanged for null.
func decodeString(value []byte, into *string) error {
	switch {
	case string(value) == "null":
		return nil
	case value[0] != '"':
		return errors.New("not a string")
	}
	*into = string(jsontext.Unquoted(value))
	return nil
}

const (
	noDate   = -62135596800 // the zero time.Time, which would mean that there is no such claim
	lastDate = 253402300799 // the end of the year 9999, the last that time.Time can format
)

// decodeDate decodes a NumericDate (RFC 7519, 2), truncated to seconds. It leaves *into
// unchanged for null.
func decodeDate(value []byte, into *time.Time) error {
	if string(value) == "null" {
		return nil
	}
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil {
		return err
	}
	if seconds <= noDate || seconds > lastDate {
		return errors.New("out of range")
	}
	*into = time.Unix(int64(seconds), 0)
	return nil
}
