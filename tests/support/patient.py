"""An app whose health can be told: by a file `mode` in its folder (500, hang, body, close), which each start removes, and by its
arguments. It writes down when it was started and when it was first ready, a line for each start."""

import argparse
import http.server
import os
import socketserver
import sys
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--delay", type=float, default=0, help="seconds until it listens")
parser.add_argument("--sick-after", type=float, help="seconds from the start until it answers 500")
parser.add_argument("--fails", type=int, default=0, help="so many starts end at once")
args = parser.parse_args()
started = time.monotonic()


def note(what):
    with open("starts", "a") as file:
        file.write(f"{what} {time.monotonic()}\n")


def mode():
    if args.sick_after is not None and time.monotonic() > started + args.sick_after:
        return "500"
    try:
        return open("mode").read().strip()
    except FileNotFoundError:
        return ""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        now = mode()
        if now == "hang":
            time.sleep(1000)
        body = b"bad\n" if now == "body" else b"well\n"
        self.send_response(500 if now == "500" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


if os.path.exists("mode"):
    os.remove("mode")
note("started")
if args.fails > sum(line.startswith("started") for line in open("starts")) - 1:
    sys.exit(1)
time.sleep(args.delay)
server = Server(("127.0.0.1", args.port), Page)
threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
note("ready")
while mode() != "close":
    time.sleep(0.05)
server.shutdown()
server.server_close()
time.sleep(1000)
