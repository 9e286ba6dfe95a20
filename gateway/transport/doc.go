// Package transport carries sessions over Server-Sent Events and long-poll. It handles HTTP
// and connections; the protocols define what is sent over them.
package transport
