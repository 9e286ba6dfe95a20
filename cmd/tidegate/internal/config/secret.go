package config

import "log/slog"

// Secret is text that logs, errors and format verbs do not show.
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

// MarshalText implements encoding.TextMarshaler, so that encoders do not show the secret, either.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
