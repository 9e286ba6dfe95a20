"""A chat client on Python's websocket-client: prints what chat:lobby says, says
what it is given on standard input, and comes back when its node is gone."""
import json
import sys
import threading
import time

import websocket

url = sys.argv[1]
link = None


def listen():
    global link
    while True:
        try:
            link = websocket.create_connection(url, timeout=30)
            link.send(json.dumps({"type": "subscribe", "id": 1, "channel": "chat:lobby"}))
            while True:
                frame = json.loads(link.recv())
                if frame["type"] == "subscribed":
                    print("ready", flush=True)
                elif frame["type"] == "message":
                    said = frame["data"]["text"] if "data" in frame else frame["text"]
                    print("heard", said, flush=True)
        except (OSError, ValueError, websocket.WebSocketException):
            time.sleep(0.1)


threading.Thread(target=listen, daemon=True).start()
for line in sys.stdin:
    data = {"name": "python", "text": line.strip()}
    try:
        link.send(json.dumps({"type": "publish", "channel": "chat:lobby", "data": data}))
    except (OSError, websocket.WebSocketException):
        pass  # between two nodes: who waits for an echo says it again
