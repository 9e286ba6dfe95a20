package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"tidegate/gateway/rules"
)

var errWrongType = errors.New("wrong type")

var classes = []rules.Who{rules.Anyone, rules.Authenticated, rules.Token, rules.Nobody}

func text(p *string) kind {
	return kind{
		name: "text", want: "a text (put it in quotes)", now: *p, tags: []string{"!!str"},
		set: func(text string) error { *p = text; return nil },
	}
}

func address(p *string) kind {
	k := text(p)
	k.name = "address"
	k.want = "an address, host:port, such as 127.0.0.1:8080, with a port up to 65535"
	k.set = func(text string) error {
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			return err
		}
		*p = text
		_, err = strconv.ParseUint(port, 10, 16)
		return err
	}
	return k
}

func hidden(p *Secret) kind {
	k := text((*string)(p))
	k.secret, k.now = true, ""
	return k
}

func oneOf[T ~string](p *T, allowed ...T) kind {
	names := make([]string, len(allowed))
	for i, one := range allowed {
		names[i] = string(one)
	}
	last := len(names) - 1
	return kind{
		name: "word",
		want: strings.Join(names[:last], ", ") + " or " + names[last],
		now:  string(*p), tags: []string{"!!str"},
		set: func(text string) error {
			if !slices.Contains(allowed, T(text)) {
				return errWrongType
			}
			*p = T(text)
			return nil
		},
	}
}

func logLevel(p *slog.Level) kind {
	name := strings.ToLower(p.String())
	k := oneOf(&name, "debug", "info", "warn", "error")
	choose := k.set
	k.set = func(text string) error {
		if err := choose(text); err != nil {
			return err
		}
		return p.UnmarshalText([]byte(text))
	}
	return k
}

// presence is who is a member of a rule's channels: true says the same as user.
func presence(r *rules.Rule) kind {
	now := strconv.FormatBool(r.Presence)
	if r.BySession {
		now = "session"
	}
	return kind{
		name: "string", want: "true, false, user or session", now: now, tags: []string{"!!bool", "!!str"},
		set: func(text string) error {
			switch text {
			case "true", "user", "false", "session":
				r.Presence, r.BySession = text != "false", text == "session"
				return nil
			}
			return errWrongType
		},
	}
}

func boolean(p *bool) kind {
	return kind{
		name: "bool", want: "true or false", now: strconv.FormatBool(*p), tags: []string{"!!bool"},
		set: func(text string) error {
			switch text {
			case "true", "false":
				*p = text == "true"
				return nil
			}
			return errWrongType
		},
	}
}

func integer(p *int) kind {
	return kind{
		name: "int", want: "an integer", now: strconv.Itoa(*p), tags: []string{"!!int"},
		set: func(text string) error {
			n, err := strconv.Atoi(text)
			if err != nil {
				return errWrongType
			}
			*p = n
			return nil
		},
	}
}

// share is a part of a whole.
func share(p *float64) kind {
	return kind{
		name: "number", want: "a number from 0 to 1, such as 0.01", now: strconv.FormatFloat(*p, 'g', -1, 64), tags: []string{"!!float", "!!int"},
		set: func(text string) error {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil || !(n >= 0 && n <= 1) {
				return errWrongType
			}
			*p = n
			return nil
		},
	}
}

// size is an integer of bytes, with or without the unit KiB or MiB.
func size(p *int) kind {
	return kind{
		name: "bytes", want: "a number of bytes such as 65536 or 64KiB", now: strconv.Itoa(*p), tags: []string{"!!int", "!!str"},
		set: func(text string) error {
			digits, unit := text, 1
			for suffix, bytes := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
				if number, ok := strings.CutSuffix(text, suffix); ok {
					digits, unit = strings.TrimSpace(number), bytes
				}
			}
			n, err := strconv.Atoi(digits)
			if err != nil || n > math.MaxInt/unit || n < math.MinInt/unit {
				return errWrongType
			}
			*p = n * unit
			return nil
		},
	}
}

func duration(p *time.Duration) kind {
	return kind{
		name: "duration", want: "a duration with its unit, such as 500ms, 10s or 5m", now: p.String(), tags: []string{"!!str", "!!int"},
		set: func(text string) error {
			d, err := time.ParseDuration(text) // takes a bare 0
			if err != nil {
				return errWrongType
			}
			*p = d
			return nil
		},
	}
}

// texts is a YAML list of texts, or texts between commas on a line.
func texts(p *[]string) kind { return scalars(p, "a list of texts", text) }

// words are a list of words of a closed set.
func words[T ~string](p *[]T, allowed []T) kind {
	word := func(p *T) kind { return oneOf(p, allowed...) }
	return scalars(p, "a list of "+word(new(T)).want, word)
}

// prefixes are networks. A single address is a network of one.
func prefixes(p *[]netip.Prefix) kind {
	return scalars(p, "a list of addresses or networks such as 10.0.0.0/8", prefix)
}

func scalars[T any](p *[]T, want string, item func(*T) kind) kind {
	return kind{
		name: "list", want: want,
		set: func(text string) error {
			*p = nil
			for _, word := range splitList(text) {
				var one T
				if err := item(&one).set(word); err != nil {
					return err
				}
				*p = append(*p, one)
			}
			return nil
		},
		node: func(r *reader, path string, n *yaml.Node) {
			*p = nil
			for i, element := range r.elements(path, n, want) {
				var one T
				r.value(fmt.Sprintf("%s[%d]", path, i), item(&one), element)
				*p = append(*p, one)
			}
		},
	}
}

func splitList(text string) []string {
	var all []string
	for one := range strings.SplitSeq(text, ",") {
		if one = strings.TrimSpace(one); one != "" {
			all = append(all, one)
		}
	}
	return all
}

func prefix(p *netip.Prefix) kind {
	return kind{
		name: "network", want: "an address or a network such as 10.0.0.0/8", tags: []string{"!!str"},
		set: func(text string) (err error) {
			*p, err = parsePrefix(text)
			return err
		},
	}
}

func parsePrefix(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		return prefix.Masked(), err
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return addr.Prefix(addr.BitLen())
}

// list is a YAML list of mappings, each with the settings that settings binds
// to an element.
func list[T any](p *[]T, settings func(*T) []setting) kind {
	return kind{
		name: "list", want: "a list, in YAML or JSON",
		node: func(r *reader, path string, n *yaml.Node) {
			*p = nil
			for i, item := range r.elements(path, n, "a list") {
				var one T
				r.mapping(fmt.Sprintf("%s[%d]", path, i), item, settings(&one))
				*p = append(*p, one)
			}
		},
	}
}
