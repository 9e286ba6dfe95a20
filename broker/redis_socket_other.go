//go:build !linux

package broker

import (
	"context"
	"net"
)

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// direct dials like the dialer itself.
func (dial dialer) direct(ctx context.Context, network, address string) (net.Conn, error) {
	return dial(ctx, network, address)
}
