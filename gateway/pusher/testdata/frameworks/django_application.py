"""An application in Django, whose settings have the guide's lines (LINES). It triggers an
event, and prints how it answers for the subscriptions of SOCKET. LIBRARIES has a checkout
of pusher-http-python."""
import os
import sys

sys.path.insert(0, os.path.join(os.environ["LIBRARIES"], "pusher-http-python"))

import django
import pusher
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.test import Client
from django.urls import path

lines = {"os": os, "pusher": pusher}
exec(os.environ["LINES"], lines)
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="nobody's", PUSHER=lines["PUSHER"])
django.setup()


def say(request):
    settings.PUSHER.trigger(["news", "private-x"], "said", {"text": "hi"})
    return HttpResponse()


def auth(request):
    channel, socket = request.POST["channel_name"], request.POST["socket_id"]
    who = {"user_id": "7", "user_info": {"name": "Anna"}} if channel.startswith("presence-") else None
    return JsonResponse(settings.PUSHER.authenticate(channel, socket, who))


urlpatterns = [path("say", say), path("pusher/auth", auth)]
browser = Client()
if browser.post("/say").status_code != 200:
    sys.exit("the event was not triggered")
for name in ("private-x", "presence-room"):
    print(browser.post("/pusher/auth", {"socket_id": os.environ["SOCKET"], "channel_name": name}).content.decode())
