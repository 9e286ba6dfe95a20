package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
)

// DecodeList decodes a JSON array or null. At the first item beyond most it stops and
// returns tooMany.
func DecodeList[T any](text []byte, most int, tooMany error) (list []T, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	token, err := decoder.Token()
	switch {
	case err != nil || token == nil:
		return nil, err
	case token != json.Delim('['):
		return nil, errNoList
	}
	for decoder.More() {
		if len(list) == most {
			return nil, tooMany
		}
		var item T
		if err := decoder.Decode(&item); err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, nil
}

var errNoList = errors.New("it is no list")
