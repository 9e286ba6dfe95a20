package config

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

// MarshalText implements encoding.TextMarshaler, so that encoders and logs do not show the secret, either.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
