"""A Flask backend that tells Tidegate who its users are, in two ways: GET /token signs a
token for a user, and POST /tidegate answers when Tidegate asks whose a cookie is.

  PORT=3000 JWT_SECRET=… WEBHOOK_SECRET=… python3 login_flask.py
"""

import base64, hashlib, hmac, json, os, secrets, time
from http.cookies import SimpleCookie
from flask import Flask, jsonify, request

JWT_SECRET = os.environ["JWT_SECRET"].encode()
WEBHOOK_SECRET = os.environ["WEBHOOK_SECRET"].encode()
sessions = {}  # replace with your session store: cookie to user
app = Flask(__name__)


@app.post("/login")
def login():  # check a password here
    session = secrets.token_hex(16)
    sessions[session] = request.args["user"]
    response = app.response_class(status=204)
    response.set_cookie("session", session, httponly=True, samesite="Lax")
    return response


@app.get("/token")
def token():
    user = sessions.get(request.cookies.get("session"))
    if user is None:
        return "log in first", 401
    return sign({"sub": user, "exp": int(time.time()) + 600})


@app.post("/tidegate")
def tidegate():
    if not is_genuine(request.headers.get("Tidegate-Signature", ""), request.get_data()):
        return "who are you?", 401
    question = request.get_json(force=True)
    if question["event"] != "connect" or question.get("user"):
        return "", 204  # a token has already identified the user
    cookies = SimpleCookie((question.get("headers") or {}).get("Cookie", [""])[0])
    user = "session" in cookies and sessions.get(cookies["session"].value)
    if not user:
        return jsonify(allow=False, code="unauthenticated", message="log in first")
    return jsonify(allow=True, user=user)


def sign(claims):  # or use PyJWT: jwt.encode(claims, JWT_SECRET)
    def encode(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    text = b".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return text + b"." + encode(hmac.new(JWT_SECRET, text, hashlib.sha256).digest())


def is_genuine(header, body):  # Tidegate-Signature: t=1700000000,v1=5257a8…
    fields = dict(part.partition("=")[::2] for part in header.split(","))
    sent, given = fields.get("t", ""), fields.get("v1", "")
    expected = hmac.new(WEBHOOK_SECRET, sent.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), given.encode()) and abs(time.time() - int(sent)) < 300


app.run("127.0.0.1", int(os.environ.get("PORT", 3000)))
