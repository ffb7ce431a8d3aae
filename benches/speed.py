"""Measures inside of a lab and prints Markdown tables: medians, as ratios against the floor of the same run."""

import os
import statistics
import subprocess
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


start_up()
install()
