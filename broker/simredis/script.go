package simredis

import (
	"crypto/sha1"
	"encoding/hex"
	"regexp"
	"strings"
)

// scripts are those that a server knows, by their SHA-1.
type scripts map[string]string

func (s scripts) keep(script string) (hash string) {
	sum := sha1.Sum([]byte(script))
	hash = hex.EncodeToString(sum[:])
	s[hash] = script
	return hash
}

// find returns the script that an EVAL has, or an EVALSHA names.
func (s scripts) find(command []string) (script string, known bool) {
	if strings.EqualFold(command[0], "EVAL") {
		s.keep(command[1])
		return command[1], true
	}
	script, known = s[strings.ToLower(command[1])]
	return script, known
}

// asInRedis returns an answer of miniredis to a script as Redis has it.
func asInRedis(answer string) string {
	if failed := scriptFailed.FindStringSubmatch(answer); failed != nil {
		return "-" + failed[1] + "\r\n"
	}
	return answer
}

// scriptFailed finds the error that ended a script within that which miniredis makes
// of it.
var scriptFailed = regexp.MustCompile(`^-ERR Error compiling script .*?: :\d+: ([A-Z]+ .*?)(?: stack traceback:.*)?\r\n$`)

// jsonLua stands before each script: in Redis an empty table is an object.
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
