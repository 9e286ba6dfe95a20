package config

import "log/slog"

// Secret is a text that no log, no error and no format verb shows.
type Secret string

// String implements fmt.Stringer.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// GoString implements fmt.GoStringer.
func (s Secret) GoString() string { return s.String() }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler: encoders do not show it either.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
