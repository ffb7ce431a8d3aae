"""Fifty runs of autoglm-boot at once, about six apps, the same each time: `crowd.py ROUND KILLS`. So many of those that hold
the lock are killed. Prints how each ended, as JSON."""
import json, os, random, subprocess, sys, threading, time

ROUND, KILLS = sys.argv[1], int(sys.argv[2])
NAMES = [f"app{number}" for number in range(6)]
VERBS = {"install": 16, "several": 4, "status": 12, "uninstall": 10, "restart": 3, "list": 3, "check": 2}
DEADLINE = 120
MANIFEST = """[app]
name = "{name}"
version = "{value}"
[service]
command = ["sleep", "1000"]
environment = {{ VALUE = "{value}" }}
[readiness]
settle = "100ms"
"""
chance = random.Random(ROUND)
running = {}
together = threading.Barrier(sum(VERBS.values()))


def manifest(number, name):
    path = f"/srv/{ROUND}/{number}-{name}.toml"
    with open(path, "w") as file:
        file.write(MANIFEST.format(name=name, value=f"{ROUND}-{number}"))
    return path


def words(number, verb):
    name = chance.choice(NAMES)
    if verb in ("install", "check"):
        return [verb, "--manifest", manifest(number, name)]
    if verb == "several":
        files = [manifest(number, name) for name in chance.sample(NAMES, 3)]
        return ["install", *chance.choice([[], ["--keep-going"]]), *(word for file in files for word in ("-m", file))]
    if verb == "status":
        return [verb, "--json", *chance.choice([[], [name], NAMES[:3]])]
    return [verb] if verb == "list" else [verb, name]


def run(args, ended):
    together.wait()
    start = time.monotonic()
    process = subprocess.Popen(["autoglm-boot", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    running[process.pid] = process
    try:
        out, err = process.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        out, err = "", "it did not end"
    ended.append({
        "args": args,
        "code": process.returncode,
        "seconds": time.monotonic() - start,
        "stdout": out,
        "stderr": err,
    })


def holder():
    """The one of them that holds the lock (proc(5), /proc/locks)."""
    with open("/proc/locks") as file:
        locks = [line.split() for line in file]
    pids = [int(words[4]) for words in locks if words[1:4] == ["FLOCK", "ADVISORY", "WRITE"]]
    return next((running[pid] for pid in pids if pid in running), None)


def kill(workers):
    left = KILLS
    while left and any(worker.is_alive() for worker in workers):
        process = holder()
        if process:
            time.sleep(chance.uniform(0, 0.15))
            process.kill()
            left -= process.wait() == -9  # it may have ended by itself just before
        time.sleep(0.01)


os.makedirs(f"/srv/{ROUND}")
verbs = [verb for verb, times in VERBS.items() for _ in range(times)]
chance.shuffle(verbs)
ended = []
workers = [threading.Thread(target=run, args=(words(*of), ended)) for of in enumerate(verbs)]
for worker in workers:
    worker.start()
kill(workers)
for worker in workers:
    worker.join()
json.dump(ended, sys.stdout)
