// Package transport carries sessions over Server-Sent Events and
// long-poll. It knows HTTP and sockets; what is said on them is a matter of the
// protocols.
package transport
