"""A backend that tells Tidegate who its users are, in two ways: GET /token signs a token
for a user, and POST /tidegate answers when Tidegate asks whose a cookie is. It needs only
Python's standard library.

  PORT=3000 JWT_SECRET=… WEBHOOK_SECRET=… python3 login.py
"""

import base64, hashlib, hmac, json, os, secrets, time
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

JWT_SECRET = os.environ["JWT_SECRET"].encode()
WEBHOOK_SECRET = os.environ["WEBHOOK_SECRET"].encode()
sessions = {}  # replace with your session store: cookie to user


def user_of(cookies):
    session = SimpleCookie(cookies or "").get("session")
    return session and sessions.get(session.value)


def sign(claims):
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    text = b".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return text + b"." + encode(hmac.new(JWT_SECRET, text, hashlib.sha256).digest())


def is_genuine(header, body):  # Tidegate-Signature: t=1700000000,v1=5257a8…
    fields = dict(part.partition("=")[::2] for part in (header or "").split(","))
    time_of, given = fields.get("t", ""), fields.get("v1", "")
    expected = hmac.new(WEBHOOK_SECRET, time_of.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), given.encode()) and abs(time.time() - int(time_of)) < 300


class Backend(BaseHTTPRequestHandler):
    def do_POST(self):
        path, query = urlsplit(self.path)[2:4]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/login":
            self.login(parse_qs(query)["user"][0])
        elif path == "/tidegate":
            self.tidegate(body)
        else:
            self.answer(404)

    def do_GET(self):
        if self.path != "/token":
            return self.answer(404)
        user = user_of(self.headers.get("Cookie"))
        if user is None:
            return self.answer(401, b"log in first")
        self.answer(200, sign({"sub": user, "exp": int(time.time()) + 600}))

    def login(self, user):  # check a password here
        session = secrets.token_hex(16)
        sessions[session] = user
        self.answer(204, cookie=f"session={session}; HttpOnly; SameSite=Lax; Path=/")

    def tidegate(self, body):
        if not is_genuine(self.headers.get("Tidegate-Signature"), body):
            return self.answer(401, b"who are you?")
        question = json.loads(body)
        if question["event"] != "connect" or question.get("user"):
            return self.answer(204)  # a token has already identified the user
        user = user_of((question.get("headers") or {}).get("Cookie", [""])[0])
        verdict = {"allow": True, "user": user} if user else {"allow": False, "code": "unauthenticated", "message": "log in first"}
        self.answer(200, json.dumps(verdict).encode())

    def answer(self, status, body=b"", cookie=None):
        self.send_response(status)
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", 3000))), Backend).serve_forever()
