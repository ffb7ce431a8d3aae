"""Measures the supervisor beside its peers, on this machine, and prints Markdown tables. Peers that are not on PATH are left out.

usage: supervisor.py PROGRAM
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = os.path.abspath(sys.argv[1])
# More than some peers restart at all within a minute.
TIMES = 5


def tree(pid):
    """A process and all below it."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for task in pathlib.Path(f"/proc/{one}/task").glob("*/children"):
            todo += map(int, task.read_text().split())
    return found


def resident(pids):
    kib = 0
    for pid in pids:
        for line in open(f"/proc/{pid}/status"):
            if line.startswith("VmRSS:"):
                kib += int(line.split()[1])
    return kib / 1024


def cpu(pids):
    """Seconds that these processes have had, from their schedstat, which is exact."""
    return sum(int((task / "schedstat").read_text().split()[0])
               for pid in pids for task in pathlib.Path(f"/proc/{pid}/task").glob("*")) / 1e9


def until(what, is_so, limit=30):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        found = is_so()
        if found:
            return found
        time.sleep(0.0005)
    raise TimeoutError(f"{what}: not within {limit} s")


class Server:
    """Something that answers a probe; not the app that is kept."""

    def __enter__(self):
        import http.server

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self.server.server_address[1]

    def __exit__(self, *_):
        self.server.shutdown()


class Ours:
    name = "`autoglm-boot run`, with a 10 s http probe"

    def start(self, folder, command, port):
        health = f'[health]\nhttp = "http://127.0.0.1:{port}/"\n' if port else ""
        (folder / "app.toml").write_text(
            f'[app]\nname = "bench"\n[service]\ncommand = {json.dumps(command)}\n'
            f'[restart]\ndelay = "0s"\nmax_attempts = 0\n{health}')
        self.env = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "XDG_STATE_HOME": str(folder)}
        self.process = subprocess.Popen([PROGRAM, "run", "--user", "-q", "-m", str(folder / "app.toml")], env=self.env,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.process.pid

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Supervisord:
    name = "supervisord"

    def start(self, folder, command, _):
        import shlex
        (folder / "s.conf").write_text(
            f"[supervisord]\nnodaemon=true\nlogfile={folder}/log\npidfile={folder}/pid\nchildlogdir={folder}\n"
            f"[program:bench]\ncommand={shlex.join(command).replace('%', '%%')}\nstartsecs=0\nautorestart=true\n")
        self.process = subprocess.Popen([shutil.which("supervisord"), "-c", str(folder / "s.conf")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.process.pid

    stop = Ours.stop


class Pm2:
    name = "pm2"

    def start(self, folder, command, _):
        self.env = {**os.environ, "PM2_HOME": str(folder / "pm2"), "HOME": str(folder)}
        (folder / "run").write_text("#!/bin/sh\nexec " + __import__("shlex").join(command) + "\n")
        (folder / "run").chmod(0o755)
        subprocess.run(["pm2", "start", str(folder / "run"), "--interpreter", "none"], env=self.env, check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return int((folder / "pm2/pm2.pid").read_text())

    def stop(self):
        subprocess.run(["pm2", "kill"], env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Servicrab:
    name = "servicrab"

    def start(self, folder, command, _):
        (folder / "servicrab.toml").write_text(
            f'version = 1\n[project]\nname = "bench"\n[services.bench]\ncommand = {json.dumps(command)}\n'
            'restart = "always"\n')
        self.process = subprocess.Popen(["servicrab", "up"], cwd=folder, env={**os.environ, "HOME": str(folder)},
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self.process.pid

    stop = Ours.stop


def keepers():
    yield Ours()
    for program, keeper in (("supervisord", Supervisord), ("pm2", Pm2), ("servicrab", Servicrab)):
        if shutil.which(program):
            yield keeper()


def note_start(folder):
    """An app that notes when it starts."""
    script = folder / "app"
    script.write_text(f"#!/bin/sh\ndate +%s%N >>{folder}/starts\nexec sleep 1000\n")
    script.chmod(0o755)
    return [str(script)]


def starts(folder):
    try:
        return [int(line) for line in (folder / "starts").read_text().split()]
    except FileNotFoundError:
        return []


def rest():
    print("| at rest, one app | MiB resident | CPU % of a core |\n|---|---|---|")
    with Server() as port:
        for keeper in keepers():
            folder = pathlib.Path(tempfile.mkdtemp())
            pid = keeper.start(folder, ["sleep", "1000"], port)
            until(f"{keeper.name} starts the app", lambda: len(tree(pid)) > 1)
            time.sleep(15)
            pids = [one for one in tree(pid) if "sleep" not in open(f"/proc/{one}/cmdline").read()]
            before = cpu(pids)
            time.sleep(60)
            print(f"| {keeper.name} | {resident(pids):.1f} | {(cpu(pids) - before) / 60 * 100:.3f} |")
            keeper.stop()
            shutil.rmtree(folder, ignore_errors=True)


def restart(keeper, pid, folder, number):
    """Milliseconds from the kill of an app that was started so often to its next start."""
    until("it starts", lambda: len(starts(folder)) >= number)
    time.sleep(0.3)
    app = next(one for one in tree(pid) if open(f"/proc/{one}/cmdline").read().startswith("sleep"))
    killed = time.time_ns()
    os.kill(app, signal.SIGKILL)
    until(f"{keeper.name} starts it again", lambda: len(starts(folder)) > number)
    return (starts(folder)[-1] - killed) / 1e6


def crash():
    folder = pathlib.Path(tempfile.mkdtemp())
    command = note_start(folder)
    own = []
    for number in range(1, TIMES + 1):
        begun = time.time_ns()
        process = subprocess.Popen(command)
        until("it starts", lambda: len(starts(folder)) >= number)
        own.append((starts(folder)[-1] - begun) / 1e6)
        process.kill()
        process.wait()
    print(f"\n| from a kill to the next start (no delay), median of {TIMES} | ms | beyond the app's own start |\n|---|---|---|")
    floor = statistics.median(own)
    print(f"| the app's own start | {floor:.1f} | |")
    shutil.rmtree(folder)
    for keeper in keepers():
        folder = pathlib.Path(tempfile.mkdtemp())
        command = note_start(folder)
        pid = keeper.start(folder, command, None)
        try:
            median = statistics.median(restart(keeper, pid, folder, number) for number in range(1, TIMES + 1))
            print(f"| {keeper.name} | {median:.1f} | {median - floor:.1f} |")
        except TimeoutError as late:
            print(f"| {late} | | |")
        keeper.stop()
        shutil.rmtree(folder, ignore_errors=True)


def logs():
    """One gibibyte of lines of a hundred bytes, through a pipe."""
    size = 1 << 30
    flood = ["sh", "-c", f"yes {'x' * 99} | head -c {size}"]
    print("\n| 1 GiB of lines passed on | MB/s | ratio |\n|---|---|---|")
    rates = []
    for name, sink in (("`cat`, into a file", True), ("`autoglm-boot run`, no rate limit, into a file", False)):
        folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("BENCH_FOLDER")))
        begun = time.monotonic()
        with open(folder / "out", "wb") as out:
            if sink:
                source = subprocess.Popen(flood, stdout=subprocess.PIPE)
                subprocess.run(["cat"], stdin=source.stdout, stdout=out, check=True)
                source.wait()
            else:
                (folder / "app.toml").write_text(
                    f'[app]\nname = "flood"\n[service]\ncommand = {json.dumps(flood)}\n'
                    '[restart]\npolicy = "never"\n[logging]\nrate_limit = { burst = 0, interval = "0s" }\n')
                env = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "XDG_STATE_HOME": str(folder)}
                subprocess.run([PROGRAM, "run", "--user", "-q", "-m", str(folder / "app.toml")], env=env, stdout=out,
                               stderr=subprocess.DEVNULL)
        rates.append(os.stat(folder / "out").st_size / 1e6 / (time.monotonic() - begun))
        print(f"| {name} | {rates[-1]:.0f} | {rates[-1] / rates[0]:.2f} |")
        shutil.rmtree(folder)


NEIGHBOUR = """import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Page).serve_forever()
"""


def latencies(port, is_over):
    """Milliseconds that a neighbour's answers take, one every 10 ms, until it is over."""
    import http.client
    taken = []
    while not is_over():
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
        taken.append((time.monotonic() - begun) * 1000)
        time.sleep(0.01)
    return taken


def on_disk(folder):
    """Bytes of a log's files, the oldest first: one that is put aside meanwhile is met once at the most."""
    size = 0
    for path in sorted(folder.glob("app.log*"), reverse=True):
        try:
            size += path.stat().st_size
        except FileNotFoundError:
            pass
    return size


def flood():
    """A gibibyte of lines into log files, and what a neighbour that another supervisor keeps notices of it."""
    size, limit = 1 << 30, (1 << 20) * 4
    print("\n| A flood of 1 GiB into log files | s | a neighbour's answer: median ms | ratio | 99 % ms | ratio | most MiB on disk | of |"
          "\n|---|---|---|---|---|---|---|---|")
    with socket.socket() as any_one:
        any_one.bind(("127.0.0.1", 0))
        port = any_one.getsockname()[1]
    folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ.get("BENCH_FOLDER")))
    env = {**os.environ, "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "XDG_STATE_HOME": str(folder)}
    ours = lambda *words: subprocess.run([PROGRAM, *words], env=env, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    embedded = ["--backend", "embedded"] if os.path.exists("/run/systemd/system") else []
    (folder / "neighbour.py").write_text(NEIGHBOUR.replace("PORT", str(port)))
    (folder / "neighbour.toml").write_text(
        f'[app]\nname = "neighbour"\n[service]\ncommand = ["python3", "neighbour.py"]\n'
        f'[health]\nhttp = "http://127.0.0.1:{port}/"\ninterval = "1s"\n')
    ours("install", "-q", "--user", *embedded, "-m", "neighbour.toml")
    end = time.monotonic() + 5
    rest = sorted(latencies(port, lambda: time.monotonic() > end))
    middle, late = statistics.median(rest), rest[len(rest) * 99 // 100]
    print(f"| at rest | | {middle:.2f} | 1.00 | {late:.2f} | 1.00 | | |")
    said, most = folder / "said", 0

    def row(name, begin):
        """What is noticed of a flood, from its begin until all of it is said."""
        nonlocal most
        most, begun = 0, time.monotonic()

        def is_said():
            nonlocal most
            most = max(most, on_disk(folder / "logs"))
            return said.exists()

        begin()
        taken = sorted(latencies(port, is_said))
        took, flooded, worst = time.monotonic() - begun, statistics.median(taken), taken[len(taken) * 99 // 100]
        print(f"| {name} | {took:.1f} | {flooded:.2f} | {flooded / middle:.2f} | {worst:.2f} | {worst / late:.2f} "
              + (f"| {most / 2**20:.2f} | {limit / 2**20:.0f} |" if most else "| | |"))
        said.unlink()

    flood = f"yes {'x' * 99} | head -c {size}"
    row("into `cat`, without us", lambda: subprocess.Popen(["sh", "-c", f"{flood} | cat >/dev/null; touch {said}"]))
    script = json.dumps(f"{flood}; touch {said}; exec sleep 1000")
    for name, rate in (("the default rate limit", ""), ("no rate limit", 'rate_limit = { burst = 0, interval = "0s" }')):
        (folder / "app.toml").write_text(
            f'[app]\nname = "flood"\n[service]\ncommand = ["sh", "-c", {script}]\n[readiness]\nsettle = "1ms"\n'
            f'[logging]\nfile = "logs/app.log"\nmax_size = "1Mi"\nmax_files = 3\n{rate}\n')
        row(name, lambda: ours("install", "-q", "--user", "--no-wait", *embedded, "-m", "app.toml"))
        ours("uninstall", "-q", "--user", "flood")
    ours("uninstall", "-q", "--user", "neighbour")
    shutil.rmtree(folder)


if __name__ == "__main__":
    for part in sys.argv[2:] or ["rest", "crash", "logs", "flood"]:
        globals()[part]()
