"""Measures inside of a lab and prints Markdown tables: medians, as ratios against the floor of the same run."""

import os
import statistics
import subprocess
import sys
import time

MANIFEST = '[app]\nname = "NAME"\n[service]\ncommand = ["sleep", "1000"]\n'


def run(*commands):
    """Milliseconds that these commands take, one after the other."""
    start = time.perf_counter()
    for command in commands:
        process = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.returncode == 0, (command, process.stderr)
    return (time.perf_counter() - start) * 1000


def peak(command):
    """The largest resident size of a command, in MiB."""
    subprocess.run(["/opt/time", "-f", "%M", "-o", "/tmp/peak", *command], stdout=subprocess.DEVNULL, check=True)
    return int(open("/tmp/peak").read()) / 1024


def together(count, measures):
    """Medians of measures taken in turn, so that a busy moment meets them all alike."""
    times = {name: [] for name in measures}
    for number in range(count):
        for name, measure in measures.items():
            times[name].append(measure(number))
    return {name: statistics.median(values) for name, values in times.items()}


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def start_up():
    os.makedirs("/srv/dry", exist_ok=True)
    write("/srv/dry/app.toml", MANIFEST.replace("NAME", "dry"))
    commands = {
        "`systemctl --version`": ["systemctl", "--version"],
        "`systemctl show` of one unit": ["systemctl", "show", "dry"],
        "`autoglm-boot --version`": ["autoglm-boot", "--version"],
        "`autoglm-boot check`": ["autoglm-boot", "check", "-m", "/srv/dry/app.toml"],
        "`autoglm-boot render`": ["autoglm-boot", "render", "-m", "/srv/dry/app.toml"],
        "`autoglm-boot install --dry-run`": ["autoglm-boot", "install", "--dry-run", "-m", "/srv/dry/app.toml"],
    }
    times = together(200, {name: lambda _, command=command: run(command) for name, command in commands.items()})
    floor = times["`systemctl --version`"]
    print("| start-up, median of 200 | ms | ratio | peak MiB |\n|---|---|---|---|")
    for name, command in commands.items():
        print(f"| {name} | {times[name]:.1f} | {times[name] / floor:.2f} | {peak(command):.1f} |")
    size = os.stat("/opt/bin/autoglm-boot").st_size / 1e6
    print(f"\nThe binary has {size:.1f} MB.\n")


def fresh(command):
    """An app that was never there: its name is new, and it is gone afterwards."""

    def measure(number):
        name = f"{command.__name__}{number}"
        commands = command(name)
        taken = run(*commands)
        subprocess.run(["systemctl", "is-active", "-q", name], check=True)
        subprocess.run(["systemctl", "is-enabled", "-q", name], check=True)
        return taken

    return measure


def by_hand(name):
    """The same unit, written by hand: its start costs systemd the same."""
    write(f"/srv/{name}.toml", MANIFEST.replace("NAME", name))
    subprocess.run(["autoglm-boot", "render", "-q", "-m", f"/srv/{name}.toml", "-o", "/etc/systemd/system"], check=True)


def floor(name):
    by_hand(name)
    return [["systemctl", "enable", "--no-reload", name], ["systemctl", "start", name]]


def article(name):
    by_hand(name)
    return [["systemctl", "daemon-reload"], ["systemctl", "enable", name], ["systemctl", "start", name]]


def ours(name):
    write(f"/srv/{name}.toml", MANIFEST.replace("NAME", name))
    return [["autoglm-boot", "install", "-q", "--no-wait", "-m", f"/srv/{name}.toml"]]


def again(number):
    return run(["autoglm-boot", "install", "-q", "-m", "/srv/ours0.toml"])


def install():
    names = {
        "`systemctl enable --no-reload`, `systemctl start`": fresh(floor),
        "`autoglm-boot install --no-wait`": fresh(ours),
        "`daemon-reload`, `enable`, `start` (the article)": fresh(article),
        "`autoglm-boot install`, unchanged": again,
    }
    times = together(25, names)
    least = times["`systemctl enable --no-reload`, `systemctl start`"]
    print("| a new app, median of 25 | ms | ratio |\n|---|---|---|")
    for name, taken in times.items():
        print(f"| {name} | {taken:.1f} | {taken / least:.2f} |")


UNITS = "/etc/systemd/system"


def names_of(kind, count):
    return [f"{kind}{count}-{number}" for number in range(count)]


def rendered(kind, count):
    """The same units as ours, as texts: what they are written from costs the floor nothing."""
    write("/srv/one.toml", MANIFEST.replace("NAME", "one"))
    unit = subprocess.run(["autoglm-boot", "render", "-q", "-m", "/srv/one.toml"], capture_output=True, text=True).stdout
    return {name: unit.replace("one", name) for name in names_of(kind, count)}


def link_all(units, target):
    os.makedirs(f"{UNITS}/{target}.wants", exist_ok=True)
    for name, unit in units.items():
        write(f"{UNITS}/{name}.service", unit)
        os.symlink(f"{UNITS}/{name}.service", f"{UNITS}/{target}.wants/{name}.service")


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def systemctl(*words):
    subprocess.run(["systemctl", *words], check=True, stderr=subprocess.DEVNULL)


def away(names):
    """Stops and removes what a measure has left, so that the next begins as it did."""
    systemctl("stop", *names)
    systemctl("reset-failed")
    subprocess.run(f"rm -rf {UNITS}/*-*.service {UNITS}/*.wants/*-*.service", shell=True, check=True)
    systemctl("daemon-reload")


def floor_of(count):
    units = rendered("floor", count)

    def act():
        link_all(units, "multi-user.target")
        systemctl("daemon-reload")
        systemctl("start", "multi-user.target")

    taken = seconds(act)
    systemctl("is-active", "-q", *units)
    away(units)
    return taken


def shell_loop(count):
    """As one does by hand: a loop with the article's three commands."""
    units = rendered("loop", count)

    def act():
        for name, unit in units.items():
            write(f"{UNITS}/{name}.service", unit)
            systemctl("daemon-reload")
            systemctl("enable", name)
            systemctl("start", name)

    taken = seconds(act)
    away(units)
    return taken


def ours_of(count):
    folder = f"/srv/many{count}"
    os.makedirs(folder, exist_ok=True)
    for name in names_of("ours", count):
        write(f"{folder}/{name}.toml", MANIFEST.replace("NAME", name))
    taken = seconds(lambda: run(["autoglm-boot", "install", "-q", "--no-wait", "-m", folder]))
    systemctl("is-active", "-q", *names_of("ours", count))
    return taken


def ours_away(count):
    away(names_of("ours", count))
    subprocess.run(["rm", "-rf", "/var/lib/autoglm-boot"], check=True)


def status_of(count):
    units = [f"{name}.service" for name in names_of("ours", count)]
    times = together(9, {
        "show": lambda _: run(["systemctl", "show", *units]),
        "status": lambda _: run(["autoglm-boot", "status", "-q", "--json"]),
    })
    return times["show"], times["status"]


def many():
    print("| many new apps in one call, medians of 5 | s | ratio |\n|---|---|---|")
    shown = []
    for count in (100, 1000):
        floors, ours = [], []
        for left in reversed(range(5)):
            floors.append(floor_of(count))
            ours.append(ours_of(count))
            if left:
                ours_away(count)
        shown.append((count, *status_of(count)))
        ours_away(count)
        rows = [
            ("own links, one reload, start of a target", statistics.median(floors)),
            ("`autoglm-boot install --no-wait -m DIR`", statistics.median(ours)),
        ]
        if count == 100:
            rows.append(("a loop of `daemon-reload`, `enable`, `start`", shell_loop(count)))
        for name, taken in rows:
            print(f"| {count}: {name} | {taken:.2f} | {taken / rows[0][1]:.2f} |")
    print("\n| status of many | `systemctl show` ms | `autoglm-boot status` ms | more |\n|---|---|---|---|")
    for count, show, status in shown:
        print(f"| {count} | {show:.0f} | {status:.0f} | {status - show:.0f} |")


ANSWERS = """
import asyncio

async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 3\\r\\nConnection: close\\r\\n\\r\\nok\\n")
    await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 9911, backlog=1000)
    await server.serve_forever()

asyncio.run(main())
"""


def watched():
    """A thousand apps that one server answers for: what it costs to ask, not to be asked."""
    write("/srv/answers.py", ANSWERS)
    systemctl_run = ["systemd-run", "--quiet", "--unit=answers", "python3", "/srv/answers.py"]
    subprocess.run(systemctl_run, check=True)
    os.makedirs("/srv/watched", exist_ok=True)
    names = names_of("watched", 1000)
    for name in names:
        health = '[health]\nhttp = "http://127.0.0.1:9911/"\ninterval = "10s"\n'
        write(f"/srv/watched/{name}.toml", MANIFEST.replace("NAME", name) + health)
    run(["autoglm-boot", "install", "-q", "--force", "-m", "/srv/watched"])
    show = ["systemctl", "show", "-P", "MainPID", "autoglm-boot-watch"]
    pid = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()

    def cpu():
        words = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
        return sum(map(int, words[11:15])) / os.sysconf("SC_CLK_TCK")

    time.sleep(30)
    before = cpu()
    time.sleep(60)
    share = (cpu() - before) / 60 * 100
    memory = next(line.split()[1] for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS:"))
    journal = subprocess.run("journalctl -q -u autoglm-boot-watch --since -60s --no-pager | wc -l", shell=True,
                             capture_output=True, text=True).stdout.strip()
    print("\n| 1,000 watched apps, asked every 10 s | CPU % of a core | MiB resident | journal lines a minute |\n|---|---|---|---|")
    print(f"| the watcher | {share:.2f} | {int(memory) / 1024:.0f} | {journal} |")


if len(sys.argv) > 1:
    globals()[sys.argv[1]]()
else:
    start_up()
    install()
    many()
    watched()
