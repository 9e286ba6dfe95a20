package centrifuge

import (
	"encoding/json"

	"tidegate/gateway"
	"tidegate/gateway/centrifuge/internal/wire"
)

// outcome is what a method returns: a result, which must be encodable as JSON, or an error.
type outcome struct {
	result any
	err    *wire.Error
	cause  error // the gateway's error behind err, or nil
}

func done(result any, err error) outcome {
	if err == nil {
		return outcome{result: result}
	}
	return refused(ofServer, err)
}

// refused returns the error in the form for the given kind of request.
func refused(of request, err error) outcome {
	e := gateway.ErrorOf(err)
	return outcome{err: errorOf(of, e.Code, e.Message), cause: err}
}

func failed(code uint32, message string) outcome {
	return outcome{err: &wire.Error{Code: code, Message: message}}
}

// encode returns the response body. If bare, the result is not wrapped in "result".
func (o outcome) encode(bare bool) []byte {
	if o.err == nil && bare {
		encoded, _ := json.Marshal(o.result)
		return encoded
	}
	encoded, _ := json.Marshal(o.reply("result"))
	return encoded
}

// reply returns the response as an object, with the result under the given name.
func (o outcome) reply(name string) map[string]any {
	if o.err != nil {
		return map[string]any{"error": map[string]any{"code": o.err.Code, "message": o.err.Message}}
	}
	return map[string]any{name: o.result}
}
