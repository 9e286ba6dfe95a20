package simredis

import (
	"crypto/sha1"
	"encoding/hex"
	"regexp"
	"strings"
)

func (s *Server) eval(p *peer, command []string) string {
	if len(command) < 3 {
		return "-ERR wrong number of arguments for 'eval' command\r\n"
	}
	s.keepScript(command[1])
	return s.runScript(p, command[1], command[2:])
}

func (s *Server) evalSHA(p *peer, command []string) string {
	if len(command) < 3 {
		return "-ERR wrong number of arguments for 'evalsha' command\r\n"
	}
	script, known := s.scripts[strings.ToLower(command[1])]
	if !known {
		return "-NOSCRIPT No matching script. Please use EVAL.\r\n"
	}
	return s.runScript(p, script, command[2:])
}

func (s *Server) loadScript(_ *peer, command []string) string {
	if len(command) != 3 || !strings.EqualFold(command[1], "LOAD") {
		return "-ERR unknown subcommand or wrong number of arguments\r\n"
	}
	return bulk(s.keepScript(command[2]))
}

func (s *Server) keepScript(script string) string {
	sum := sha1.Sum([]byte(script))
	hash := hex.EncodeToString(sum[:])
	s.scripts[hash] = script
	return hash
}

func (s *Server) runScript(p *peer, script string, args []string) string {
	answer := s.ask(p, append([]string{"EVAL", jsonLua + script}, args...))
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
