// Package denials holds what backends have forbidden: revoked tokens, and banned
// users and addresses.
package denials

import (
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Denial is a ban or a revocation. Exactly one of Token, User and Address is set. Its JSON is for
// other nodes and lacks Until, which is stored separately.
type Denial struct {
	Token   string       `json:"token,omitempty"`  // id (claim jti) of a revoked token
	User    string       `json:"user,omitempty"`   // banned or, if Before is set, the owner of revoked tokens
	Before  time.Time    `json:"before,omitzero"`  // tokens issued earlier are revoked; zero if the user is banned
	Address netip.Prefix `json:"address,omitzero"` // a banned network
	Reason  string       `json:"reason,omitempty"` // shown to the client; may be empty
	By      string       `json:"by,omitempty"`     // name of the API key
	Since   time.Time    `json:"since"`
	Until   time.Time    `json:"-"`
}

// ID returns an identifier that is the same for denials of the same thing.
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

// IsBan reports whether d bans a user or an address, rather than revoking tokens.
func (d *Denial) IsBan() bool { return d.Token == "" && d.Before.IsZero() }

// Client describes a client to List.Find.
type Client struct {
	User    string
	Token   string    // id of the token
	Issued  time.Time // when it was issued; zero if not known
	ByToken bool      // the client has authenticated with a token
	Address netip.Addr
}

// Bytes is roughly the most memory that one denial takes, including the time while a new
// list replaces the old one.
const Bytes = 3 << 10

// List is an immutable set of denials. The zero value forbids nothing.
type List struct {
	all       []Denial
	tokens    map[string]*Denial
	users     map[string]*Denial
	issued    map[string]*Denial // by user
	addresses map[netip.Prefix]*Denial
	lengths   []int // the prefix lengths that occur in addresses
}

// NewList returns a list of the denials. It keeps a reference to all.
func NewList(all []Denial) *List {
	l := &List{
		all: all, tokens: make(map[string]*Denial), users: make(map[string]*Denial),
		issued: make(map[string]*Denial), addresses: make(map[netip.Prefix]*Denial),
	}
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
			if bits := d.Address.Bits(); !slices.Contains(l.lengths, bits) {
				l.lengths = append(l.lengths, bits)
			}
		}
	}
	return l
}

// All returns all denials.
func (l *List) All() []Denial { return l.all }

// Find returns a denial that applies to the client now, or nil.
func (l *List) Find(c Client, now time.Time) *Denial {
	if len(l.all) == 0 {
		return nil
	}
	for _, d := range []*Denial{l.tokens[c.Token], l.users[c.User], l.tooOld(c), l.at(c.Address, now)} {
		if d != nil && now.Before(d.Until) {
			return d
		}
	}
	return nil
}

// tooOld returns the denial of a token that was issued too early, or whose time of
// issue is not known.
func (l *List) tooOld(c Client) *Denial {
	if d := l.issued[c.User]; d != nil && c.ByToken && c.Issued.Before(d.Before) {
		return d
	}
	return nil
}

// at returns a ban of a network that the address is in. A narrow one that is over does not
// hide a wide one.
func (l *List) at(address netip.Addr, now time.Time) *Denial {
	for _, bits := range l.lengths {
		if network, err := address.Prefix(bits); err == nil {
			if d := l.addresses[network]; d != nil && now.Before(d.Until) {
				return d
			}
		}
	}
	return nil
}
