"""A Django backend that tells Tidegate who its users are, in two ways: GET /token signs a
token for a user, and POST /tidegate answers when Tidegate asks whose a cookie is. Your own
project needs only the views token and tidegate. With django.contrib.auth, read the session
key "_auth_user_id" instead of "user".

  PORT=3000 JWT_SECRET=… WEBHOOK_SECRET=… python3 login_django.py
"""

import base64, hashlib, hmac, json, os, secrets, time
from http.cookies import SimpleCookie
from importlib import import_module

from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

JWT_SECRET = os.environ["JWT_SECRET"].encode()
WEBHOOK_SECRET = os.environ["WEBHOOK_SECRET"].encode()
settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY=secrets.token_hex(32),
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.cache",  # in memory
)


@csrf_exempt  # only for curl in this example: your login form has a CSRF token
@require_POST
def login(request):  # check a password here
    request.session["user"] = request.GET["user"]
    return HttpResponse(status=204)


@require_GET
def token(request):
    user = request.session.get("user")
    if user is None:
        return HttpResponse("log in first", status=401)
    return HttpResponse(sign({"sub": user, "exp": int(time.time()) + 600}))


@csrf_exempt  # the request comes from Tidegate, which signs it, not from a page
@require_POST
def tidegate(request):
    if not is_genuine(request.headers.get("Tidegate-Signature", ""), request.body):
        return HttpResponse("who are you?", status=401)
    question = json.loads(request.body)
    if question["event"] != "connect" or question.get("user"):
        return HttpResponse(status=204)  # a token has already identified the user
    cookies = SimpleCookie((question.get("headers") or {}).get("Cookie", [""])[0])
    cookie = cookies.get(settings.SESSION_COOKIE_NAME)
    user = cookie and import_module(settings.SESSION_ENGINE).SessionStore(cookie.value).get("user")
    if not user:
        return JsonResponse({"allow": False, "code": "unauthenticated", "message": "log in first"})
    return JsonResponse({"allow": True, "user": user})


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


urlpatterns = [path("login", login), path("token", token), path("tidegate", tidegate)]

if __name__ == "__main__":
    execute_from_command_line(["login_django.py", "runserver", "--noreload", f"127.0.0.1:{os.environ.get('PORT', 3000)}"])
