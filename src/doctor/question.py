# Asked of the interpreter that the app uses, with the names of packages as arguments: one line of JSON.
import sys
# A platform.py or json.py of the app is not run for it: its folder comes last, once all is imported.
own = [place for place in sys.path if not place]
sys.path[:] = [place for place in sys.path if place]
import json, platform
try:
    from importlib import metadata
    def find(name):
        found = metadata.distribution(name)
        return found.version, found.metadata.get_all("Provides-Extra") or []
except ImportError:
    import pkg_resources
    def find(name):
        found = pkg_resources.get_distribution(name)
        return found.version, list(found.extras)
sys.path += own
def ask(name):
    for spelt in (name, name.replace("-", "_"), name.replace("-", ".")):
        try:
            version, extras = find(spelt)
            return {"version": str(version), "extras": [str(e) for e in extras]}
        except Exception:
            pass
base = getattr(sys, "base_prefix", getattr(sys, "real_prefix", sys.prefix))
print("\n" + json.dumps({
    "version": platform.python_version().rstrip("+"),
    "executable": sys.executable,
    "is_environment": sys.prefix != base or bool(__import__("os").path.exists(sys.prefix + "/conda-meta")),
    "packages": [ask(name) for name in sys.argv[1:]],
}))
