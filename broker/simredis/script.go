package simredis

import (
	"crypto/sha1"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/alicebob/miniredis/v2/proto"
)

// scripts are the scripts that a server has cached, by their SHA-1 in hexadecimal.
type scripts map[string]string

func (s scripts) keep(script string) (hash string) {
	sum := sha1.Sum([]byte(script))
	hash = hex.EncodeToString(sum[:])
	s[hash] = script
	return hash
}

// find returns the script of an EVAL or EVALSHA command. known is false if EVALSHA names a
// script that is not cached.
func (s scripts) find(command []string) (script string, known bool) {
	if strings.EqualFold(command[0], "EVAL") {
		s.keep(command[1])
		return command[1], true
	}
	script, known = s[strings.ToLower(command[1])]
	return script, known
}

// asInRedis converts a reply of miniredis to a script into the reply of Redis.
func asInRedis(answer string) string {
	if failed := scriptFailed.FindStringSubmatch(answer); failed != nil {
		return proto.Error(failed[1])
	}
	return answer
}

// scriptFailed extracts the original error of a script from the error that miniredis returns.
var scriptFailed = regexp.MustCompile(`^-ERR Error compiling script .*?: :\d+: ([A-Z]+ .*?)(?: stack traceback:.*)?\r\n$`)

// jsonLua is prepended to each script. It makes cjson encode an empty table as an object, as
// Redis does.
const jsonLua = `
local cjson = {decode = cjson.decode, encode = (function()
  local plain = cjson.encode
  local function encode(value)
    if type(value) ~= 'table' then return plain(value) end
    local list = {}
    for i, one in ipairs(value) do list[i] = encode(one) end
    if #list > 0 then return '[' .. table.concat(list, ',') .. ']' end
    for key, one in pairs(value) do list[#list + 1] = plain(tostring(key)) .. ':' .. encode(one) end
    return '{' .. table.concat(list, ',') .. '}'
  end
  return encode
end)()}
`
