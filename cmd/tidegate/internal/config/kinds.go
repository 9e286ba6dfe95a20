package config

import (
	"errors"
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

// parsed returns the kind of a scalar.
func parsed[T any](p *T, name, want, now string, parse func(string) (T, error), tags ...string) kind {
	return kind{
		name: name, want: want, now: now, tags: tags,
		set: func(text string) error {
			value, err := parse(text)
			if err == nil {
				*p = value
			}
			return err
		},
	}
}

// isNegative reports whether the value is a negative number or duration.
func (k kind) isNegative() bool {
	return slices.Contains([]string{"int", "bytes", "duration"}, k.name) && strings.HasPrefix(k.now, "-")
}

func text(p *string) kind {
	asItIs := func(text string) (string, error) { return text, nil }
	return parsed(p, "string", "a string (put it in quotes)", *p, asItIs, "!!str")
}

func address(p *string) kind {
	const want = "an address, host:port, such as 127.0.0.1:8080, with a port up to 65535"
	return parsed(p, "address", want, *p, parseAddress, "!!str")
}

func parseAddress(text string) (string, error) {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	return text, err
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
	choose := func(text string) (T, error) {
		if !slices.Contains(names, text) {
			return "", errWrongType
		}
		return T(text), nil
	}
	return parsed(p, "word", strings.Join(names[:last], ", ")+" or "+names[last], string(*p), choose, "!!str")
}

func logLevel(p *slog.Level) kind {
	return parsed(p, "word", "debug, info, warn or error", strings.ToLower(p.String()), parseLevel, "!!str")
}

func parseLevel(text string) (level slog.Level, err error) {
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, text) {
		return level, errWrongType
	}
	return level, level.UnmarshalText([]byte(text))
}

// presence returns the kind of a rule's presence; true means the same as user.
func presence(r *rules.Rule) kind {
	now := strconv.FormatBool(r.Presence)
	if r.BySession {
		now = "session"
	}
	return kind{
		name: "string", want: "true, false, user or session", now: now, tags: []string{"!!bool", "!!str"},
		set: func(text string) error {
			text = strings.ToLower(text) // of a boolean in YAML
			if !slices.Contains([]string{"true", "false", "user", "session"}, text) {
				return errWrongType
			}
			r.Presence, r.BySession = text != "false", text == "session"
			return nil
		},
	}
}

func boolean(p *bool) kind {
	return parsed(p, "bool", "true or false", strconv.FormatBool(*p), parseBool, "!!bool")
}

// parseBool parses a boolean of YAML, such as True.
func parseBool(text string) (bool, error) {
	text = strings.ToLower(text)
	if text != "true" && text != "false" {
		return false, errWrongType
	}
	return text == "true", nil
}

func integer(p *int) kind {
	return parsed(p, "int", "an integer", strconv.Itoa(*p), parseInt, "!!int")
}

// parseInt parses a decimal integer of YAML, such as 10_000.
func parseInt(text string) (int, error) { return strconv.Atoi(strings.ReplaceAll(text, "_", "")) }

// share returns the kind of a number from 0 to 1.
func share(p *float64) kind {
	now := strconv.FormatFloat(*p, 'g', -1, 64)
	return parsed(p, "number", "a number from 0 to 1, such as 0.01", now, parseShare, "!!float", "!!int")
}

func parseShare(text string) (float64, error) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= 1) {
		return 0, errWrongType
	}
	return n, nil
}

// size returns the kind of a number of bytes, with or without the unit KiB, MiB or GiB.
func size(p *int) kind {
	return parsed(p, "bytes", "a number of bytes such as 65536 or 64KiB", strconv.Itoa(*p), parseSize, "!!int", "!!str")
}

func parseSize(text string) (int, error) {
	digits, unit := text, 1
	for suffix, bytes := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if number, ok := strings.CutSuffix(text, suffix); ok {
			digits, unit = strings.TrimSpace(number), bytes
		}
	}
	n, err := parseInt(digits)
	if err != nil || n > math.MaxInt/unit || n < math.MinInt/unit {
		return 0, errWrongType
	}
	return n * unit, nil
}

// duration returns the kind of a duration; a bare 0 is allowed.
func duration(p *time.Duration) kind {
	const want = "a duration with its unit, such as 500ms, 10s or 5m"
	return parsed(p, "duration", want, p.String(), time.ParseDuration, "!!str", "!!int")
}

// texts returns the kind of a YAML list of strings, or of strings separated by commas.
func texts(p *[]string) kind { return scalars(p, "a list of strings", text) }

// words returns the kind of a list of words from a fixed set.
func words[T ~string](p *[]T, allowed []T) kind {
	word := func(p *T) kind { return oneOf(p, allowed...) }
	return scalars(p, "a list of "+word(new(T)).want, word)
}

// prefixes returns the kind of a list of networks. A single address is a network, too.
func prefixes(p *[]netip.Prefix) kind {
	return scalars(p, "a list of addresses or networks such as 10.0.0.0/8", prefix)
}

func scalars[T any](p *[]T, want string, item func(*T) kind) kind {
	var now []string
	for i := range *p {
		now = append(now, item(&(*p)[i]).now)
	}
	return kind{
		name: "list", want: want, now: strings.Join(now, ","),
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
		node: elements(p, want, func(c *reading, path string, n *yaml.Node, one *T) { c.value(path, item(one), n) }),
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
	return parsed(p, "network", "an address or a network such as 10.0.0.0/8", "", parsePrefix, "!!str")
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

// list returns the kind of a YAML list of mappings. settings returns the settings of one element.
func list[T any](p *[]T, settings func(*T) []setting) kind {
	want := "a list such as [{" + settings(new(T))[0].name + ": ...}]"
	return kind{
		name: "list", want: want,
		node: elements(p, want, func(c *reading, path string, n *yaml.Node, one *T) { c.mapping(path, n, settings(one)) }),
	}
}

// elements returns a function that parses the elements of a YAML list with parse.
func elements[T any](p *[]T, want string, parse func(c *reading, path string, n *yaml.Node, one *T)) func(*reading, string, *yaml.Node) {
	return func(c *reading, path string, n *yaml.Node) {
		*p = nil
		if n.Kind != yaml.SequenceNode {
			c.wrongType(path, kind{secret: true, want: want}, n)
			return
		}
		for i, item := range n.Content {
			var one T
			parse(c, element(path, i), item, &one)
			*p = append(*p, one)
		}
	}
}
