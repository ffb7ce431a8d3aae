# What an app in Python does, each by its name in the address; it answers ok, or how it failed.
# Arguments: its port, the folder it may write to, a device.
import ctypes, errno, http.server, mmap, multiprocessing, os, socket, sqlite3, subprocess, sys, tempfile, threading, traceback
from multiprocessing import shared_memory
DATA = sys.argv[2]
def files():
    with open(DATA + "/x", "w") as file: file.write("x" * 100000)
    assert len(open(DATA + "/x").read()) == 100000
    with tempfile.NamedTemporaryFile() as file: file.write(b"x"); file.flush()
def sqlite():
    with sqlite3.connect(DATA + "/db") as db:
        db.execute("create table if not exists t (x)"); db.execute("insert into t values (1)")
        assert db.execute("select count(*) from t").fetchone()[0] > 0
def threads():
    found = []
    some = [threading.Thread(target=found.append, args=(n,)) for n in range(20)]
    [t.start() for t in some]; [t.join() for t in some]
    assert len(found) == 20
def square(n): return n * n
def processes():
    with multiprocessing.Pool(2) as pool: assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
    with multiprocessing.Manager() as manager: assert list(manager.list([1])) == [1]
def shared():
    memory = shared_memory.SharedMemory(create=True, size=1 << 20)
    memory.buf[0] = 1; memory.close(); memory.unlink()
    multiprocessing.Semaphore(1).acquire()
def subprocesses():
    assert subprocess.run(["/bin/echo", "x"], capture_output=True).stdout == b"x\n"
    assert subprocess.run("echo x", shell=True, capture_output=True).returncode == 0
def sockets():
    socket.socket(socket.AF_INET6); socket.socketpair(); socket.getaddrinfo("localhost", 80); socket.if_nameindex()
def native():
    assert ctypes.CDLL(None).getpid() == os.getpid()
    callback = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 7)
    assert callback() == 7
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    os.nice(1); os.sched_setaffinity(0, os.sched_getaffinity(0)); open("/proc/cpuinfo").read(); open("/proc/meminfo").read()
def torches():
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    x = torch.ones(200, 200); assert float(x.mm(x).sum()) == 200.0 ** 3
    loader = DataLoader(TensorDataset(torch.arange(64.0)), batch_size=8, num_workers=2)
    assert sum(float(part.sum()) for part, in loader) == sum(range(64))
    @torch.jit.script
    def twice(x): return x * 2
    assert float(twice(torch.ones(1))) == 2.0
    layer = torch.nn.Linear(4, 2); layer(torch.ones(3, 4)).sum().backward()
def refused():
    for place in ["/srv/strict/x", "/usr/x", "/etc/x", "/var/lib/x", "/home/app/x", "/opt/x"]:
        try: open(place, "w").close()
        except OSError: continue
        raise Exception("it could write " + place)
    for call in [lambda: os.chown(DATA + "/x", 0, 0), lambda: socket.sethostname("x"), lambda: os.listdir("/home/app")]:
        try: call()
        except OSError: continue
        raise Exception("it could do what is denied")
    if os.path.exists("/proc/1"): raise Exception("it sees others' processes")
def device():
    os.close(os.open(sys.argv[3], os.O_RDWR))
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try: globals().get(self.path[1:], lambda: None)(); text = "ok"
        except BaseException: text = traceback.format_exc()
        self.send_response(200); self.end_headers(); self.wfile.write(text.encode())
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
