// Package denials is what a backend has forbidden: tokens that are revoked, users and
// addresses that are banned.
package denials

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"net/netip"
	"strings"
	"time"
)

// Denial is one thing that is forbidden: one of Token, User and Address is given.
type Denial struct {
	Token   string       // the id (claim jti) of a token
	User    string       // banned; with Before: whose tokens are revoked
	Before  time.Time    // tokens issued before it; zero: the user is banned
	Address netip.Prefix // banned
	Reason  string       // for the client's eyes; may be empty
	By      string       // the name of the API key
	Since   time.Time
	Until   time.Time
}

// ID returns the name of what is forbidden: the same thing has the same one.
func (d *Denial) ID() string {
	kind, what := "address-", d.Address.String()
	switch {
	case d.Token != "":
		kind, what = "token-", d.Token
	case d.User != "" && !d.Before.IsZero():
		kind, what = "tokens-", d.User
	case d.User != "":
		kind, what = "user-", d.User
	}
	sum := sha256.Sum256([]byte(what))
	return kind + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
}

// IsBan reports whether it is a user or an address that is forbidden, not a token.
func (d *Denial) IsBan() bool { return d.Token == "" && d.Before.IsZero() }

// stored is how a Denial is written for other nodes; Until is kept beside it.
type stored struct {
	Token   string        `json:"token,omitempty"`
	User    string        `json:"user,omitempty"`
	Before  *time.Time    `json:"before,omitempty"`
	Address *netip.Prefix `json:"address,omitempty"`
	Reason  string        `json:"reason,omitempty"`
	By      string        `json:"by,omitempty"`
	Since   time.Time     `json:"since"`
}

// Encode returns the denial without its Until.
func (d *Denial) Encode() ([]byte, error) {
	s := stored{Token: d.Token, User: d.User, Reason: d.Reason, By: d.By, Since: d.Since}
	if !d.Before.IsZero() {
		s.Before = &d.Before
	}
	if d.Address.IsValid() {
		s.Address = &d.Address
	}
	return json.Marshal(s)
}

// Decode reads what Encode wrote.
func Decode(data []byte, until time.Time) (Denial, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return Denial{}, err
	}
	d := Denial{Token: s.Token, User: s.User, Reason: s.Reason, By: s.By, Since: s.Since, Until: until}
	if s.Before != nil {
		d.Before = *s.Before
	}
	if s.Address != nil {
		d.Address = *s.Address
	}
	return d, nil
}

// Client is who comes, as far as a denial may be about it.
type Client struct {
	User    string
	Token   string    // the token's id
	Issued  time.Time // when it was issued; zero: it does not say
	ByToken bool      // the client has shown a token
	Address netip.Addr
}

// Bytes is about what one of many takes at most, while a list is replaced by one that is
// read anew.
const Bytes = 3 << 10

// List is what is forbidden at one time. It does not change; the zero value forbids
// nothing.
type List struct {
	all       []Denial
	tokens    map[string]*Denial
	users     map[string]*Denial
	issued    map[string]*Denial // by user
	addresses map[netip.Prefix]*Denial
	lengths   []int // of the prefixes in addresses, each once
}

// NewList returns a list of these, which it keeps.
func NewList(all []Denial) *List {
	l := &List{
		all: all, tokens: make(map[string]*Denial), users: make(map[string]*Denial),
		issued: make(map[string]*Denial), addresses: make(map[netip.Prefix]*Denial),
	}
	lengths := make(map[int]bool)
	for i := range all {
		d := &all[i]
		switch {
		case d.Token != "":
			l.tokens[d.Token] = d
		case d.User != "" && !d.Before.IsZero():
			l.issued[d.User] = d
		case d.User != "":
			l.users[d.User] = d
		default:
			l.addresses[d.Address] = d
			lengths[d.Address.Bits()] = true
		}
	}
	for n := range lengths {
		l.lengths = append(l.lengths, n)
	}
	return l
}

// All returns all of them.
func (l *List) All() []Denial { return l.all }

// Find returns what forbids the client to be here now, or nil.
func (l *List) Find(c Client, now time.Time) *Denial {
	if len(l.all) == 0 {
		return nil
	}
	for _, d := range []*Denial{l.tokens[c.Token], l.users[c.User], l.tooOld(c), l.at(c.Address)} {
		if d != nil && now.Before(d.Until) {
			return d
		}
	}
	return nil
}

// tooOld is about a token that was issued too early, or does not say when.
func (l *List) tooOld(c Client) *Denial {
	if d := l.issued[c.User]; d != nil && c.ByToken && c.Issued.Before(d.Before) {
		return d
	}
	return nil
}

func (l *List) at(address netip.Addr) *Denial {
	for _, bits := range l.lengths {
		if network, err := address.Prefix(bits); err == nil {
			if d := l.addresses[network]; d != nil {
				return d
			}
		}
	}
	return nil
}
