"""A small app of the standard library: `/` says hello, `/health` says that it is well."""

import argparse
import http.server


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = {"/": b"hello\n", "/health": b"ok\n"}.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format, *args):
        pass  # a line for every probe is no news


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--host", default="127.0.0.1")
parser.add_argument("--port", type=int, default=8765)
args = parser.parse_args()
http.server.ThreadingHTTPServer((args.host, args.port), Page).serve_forever()
