# A backend that tells Tidegate who its users are, in two ways: GET /token signs a token
# for a user, and POST /tidegate answers when Tidegate asks whose a cookie is. It needs the
# gem webrick. In Rails, write each of the three routes as an action.
#
#   PORT=3000 JWT_SECRET=… WEBHOOK_SECRET=… ruby login.rb

require "json"
require "openssl"
require "securerandom"
require "webrick"

SESSIONS = {} # replace with your session store: cookie to user

def user_of(cookies)
  SESSIONS[cookies.to_s[/(?:^|; )session=(\h+)/, 1]]
end

def encode(data)
  [data].pack("m0").tr("+/", "-_").delete("=")
end

def sign(claims)
  text = [{ alg: "HS256", typ: "JWT" }, claims].map { |part| encode(part.to_json) }.join(".")
  "#{text}.#{encode(OpenSSL::HMAC.digest("SHA256", ENV.fetch("JWT_SECRET"), text))}"
end

def genuine?(header, body) # Tidegate-Signature: t=1700000000,v1=5257a8…
  time, given = header.to_s.match(/\At=(\d+),v1=(\h{64})\z/)&.captures
  return false unless given
  expected = OpenSSL::HMAC.hexdigest("SHA256", ENV.fetch("WEBHOOK_SECRET"), "#{time}.#{body}")
  OpenSSL.fixed_length_secure_compare(expected, given) && (Time.now.to_i - time.to_i).abs < 300
end

server = WEBrick::HTTPServer.new(BindAddress: "127.0.0.1", Port: ENV.fetch("PORT", "3000").to_i, AccessLog: [])

server.mount_proc("/login") do |request, response| # check a password here
  session = SecureRandom.hex(16)
  SESSIONS[session] = request.query_string.to_s[/\Auser=(.+)/, 1]
  response["Set-Cookie"] = "session=#{session}; HttpOnly; SameSite=Lax; Path=/"
  response.status = 204
end

server.mount_proc("/token") do |request, response|
  user = user_of(request["Cookie"])
  response.status = user ? 200 : 401
  response.body = user ? sign({ sub: user, exp: Time.now.to_i + 600 }) : "log in first"
end

server.mount_proc("/tidegate") do |request, response|
  response.status = 401
  next unless genuine?(request["Tidegate-Signature"], request.body)
  response.status = 204
  question = JSON.parse(request.body)
  next if question["event"] != "connect" || question["user"] # a token has already identified the user
  user = user_of(question.dig("headers", "Cookie", 0))
  response.status = 200
  response.body = (user ? { allow: true, user: user } : { allow: false, code: "unauthenticated", message: "log in first" }).to_json
end

%w[INT TERM].each { |signal| trap(signal) { server.shutdown } }
server.start
