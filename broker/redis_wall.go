package broker

import (
	"fmt"
	"runtime/debug"
)

// wall calls f. If f panics it is not the process that ends, but what f did: the
// panic is counted, logged with its stack and returned.
func (b *Redis) wall(f func() error) (err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("panic: %v", reason)
			b.config.Log.Error("panic in the redis broker", "error", err, "stack", string(debug.Stack()))
			if observe := b.config.Observe.Panic; observe != nil {
				observe()
			}
		}
	}()
	return f()
}
