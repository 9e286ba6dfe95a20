package config

import "tidegate/gateway/rules"

// ParseRules returns the rules of a configuration. Other settings must only be well-formed.
// The error is a Problems.
func ParseRules(document []byte) (rules.List, error) {
	c := &reading{config: Default(), places: map[string]place{}}
	c.file("line", document, c.config.settings())
	c.validateRules()
	return c.config.Rules, c.problems.err()
}
