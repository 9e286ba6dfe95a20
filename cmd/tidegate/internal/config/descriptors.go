package config

import "tidegate/gateway"

// unknownDescriptors stands for a limit that the system does not tell.
const unknownDescriptors = 65536

// Reserve returns how many of this process's file descriptors are kept from clients,
// for Redis, the internal listener and files.
func Reserve() int { return reserveOf(descriptors()) }

func reserveOf(descriptors int) int { return min(max(descriptors/8, 32), 1024) }

// limitsWithin returns the default limits of a process with so many file
// descriptors. Three quarters of those that are not kept are for sessions and one
// for connections that speak HTTP, a tenth of each for one address.
func limitsWithin(descriptors int) (gateway.Limits, Connections) {
	usable := descriptors - reserveOf(descriptors)
	limits := gateway.DefaultLimits()
	connections := Connections{Most: usable / 4}
	limits.Sessions = usable - connections.Most
	limits.SessionsPerIP = limits.Sessions / 10
	connections.PerIP = connections.Most / 10
	return limits, connections
}

// limitAddresses sets the limits of an address that follow from those of a client,
// and takes the default ones back where all clients have the same address, this
// machine's.
func (c *reading) limitAddresses() {
	l := &c.config.Limits
	l.CommandsPerSecondPerIP = c.given("limits.commands_per_second_per_ip", l.CommandsPerSecondPerIP, gateway.AddressShare*l.CommandsPerSecond)
	l.BytesPerSecondPerIP = c.given("limits.bytes_per_second_per_ip", l.BytesPerSecondPerIP, gateway.AddressShare*l.BytesPerSecond)
	if !loopback(c.config.Listen) || len(c.config.TrustedProxies) > 0 {
		return
	}
	for path, limit := range map[string]*int{
		"limits.sessions_per_ip":            &l.SessionsPerIP,
		"limits.connections_per_ip":         &c.config.Connections.PerIP,
		"limits.commands_per_second_per_ip": &l.CommandsPerSecondPerIP,
		"limits.bytes_per_second_per_ip":    &l.BytesPerSecondPerIP,
	} {
		*limit = c.given(path, *limit, 0)
	}
}

// given returns the value of a setting if somebody gave it, else another.
func (c *reading) given(path string, value, otherwise int) int {
	if _, given := c.places[path]; given {
		return value
	}
	return otherwise
}
