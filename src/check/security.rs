//! `[security]`: the rights the app keeps, and what its profile has to leave to it.

use std::path::{Path, PathBuf};

use super::Checker;
use crate::{
    manifest::At,
    program::{Interpreter, way},
    service::{Needs, Network, Probe, Profile, RunAs, Scope, Security, Service},
    system::{EntryKind, Probe as Look},
};

/// What `ProtectHome=` hides (systemd.exec(5)).
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// What `ProtectSystem=full` makes read-only (systemd.exec(5)).
const OF_THE_SYSTEM: [&str; 4] = ["/usr", "/boot", "/efi", "/etc"];
/// Where systemd makes folders for a throw-away user (systemd.exec(5), `StateDirectory=`).
pub(crate) const OF_A_THROW_AWAY_USER: [&str; 3] = ["/var/lib", "/var/cache", "/var/log"];
/// Programs that compile at run time, or run others that may: they need memory that is writable and executable. The names
/// may go on with a version.
const MAY_COMPILE: [&str; 60] = [
    "python",
    "pypy",
    "node",
    "deno",
    "bun",
    "java",
    "ruby",
    "php",
    "lua",
    "dotnet",
    "mono",
    "erl",
    "beam",
    "julia",
    "R",
    "perl",
    "guile",
    "qemu",
    "wine",
    "chrome",
    "chromium",
    "electron",
    "firefox",
    "postgres",
    "nginx",
    "sh",
    "dash",
    "bash",
    "ash",
    "zsh",
    "ksh",
    "fish",
    "busybox",
    "toybox",
    "env",
    "uv",
    "conda",
    "mamba",
    "micromamba",
    "poetry",
    "docker",
    "podman",
    "tini",
    "dumb-init",
    "gosu",
    "su-exec",
    "chpst",
    "setpriv",
    "runuser",
    "su",
    "sudo",
    "timeout",
    "nice",
    "ionice",
    "nohup",
    "stdbuf",
    "xargs",
    "taskset",
    "numactl",
    "unshare",
];
/// Folders of devices, and the class of those in it (`/proc/devices`).
const CLASSES: [(&str, &str); 4] = [
    ("/dev/bus/usb", "char-usb_device"),
    ("/dev/dri", "char-drm"),
    ("/dev/input", "char-input"),
    ("/dev/snd", "char-alsa"),
];

impl Checker<'_> {
    pub(super) fn security(&mut self, service: &Service) -> Security {
        let (profile, network) = (self.profile(), self.network());
        self.check_none(profile);
        self.check_reach(network, service);
        let security = Security {
            profile,
            writable: self.writable(service),
            devices: self.devices(),
            capabilities: self.capabilities(),
            network,
            needs: Needs::default(),
        };
        let needs = needs(self.look, service, &security);
        Security { needs, ..security }
    }

    /// What is written for a system that has nothing of it.
    pub(super) fn security_written(&self) -> Security {
        let written = &self.manifest.security;
        let texts = |list: &[At<String>]| list.iter().map(|at| at.value.clone()).collect();
        Security {
            profile: self.profile(),
            writable: written
                .writable_directories
                .iter()
                .map(|at| at.value.clone().into())
                .collect(),
            devices: texts(&written.devices),
            capabilities: texts(&written.capabilities),
            network: self.network(),
            needs: Needs::default(),
        }
    }

    fn profile(&self) -> Profile {
        match self.manifest.security.profile.as_ref().map(|at| at.value.as_str()) {
            Some("none") => Profile::None,
            Some("strict") => Profile::Strict,
            _ => Profile::Standard,
        }
    }

    fn network(&self) -> Network {
        match self.manifest.security.network.as_ref().map(|at| at.value.as_str()) {
            Some("loopback") => Network::Loopback,
            Some("none") => Network::None,
            _ => Network::Any,
        }
    }

    /// Without a profile nothing is taken away that could be left.
    fn check_none(&mut self, profile: Profile) {
        let written = &self.manifest.security;
        let lists = [("devices", &written.devices), ("capabilities", &written.capabilities)];
        if profile != Profile::None {
            return;
        }
        for (key, list) in lists {
            if let Some(at) = list.first() {
                let message =
                    format!("security.{key} means nothing with the profile \"none\", which takes nothing away");
                self.wrong(message, &at.span, "leave it out, or take another profile");
            }
        }
    }

    /// What an app without a network cannot wait for; and what a user's service manager does not hold.
    fn check_reach(&mut self, network: Network, service: &Service) {
        let m = self.manifest;
        let Some(at) = m.security.network.as_ref().filter(|_| network == Network::None) else {
            return;
        };
        let over_network = |at: &&At<String>| at.value.starts_with("tcp://") || at.value.starts_with("http");
        if let Some(wait) = m.dependencies.wait_for.iter().find(over_network) {
            let message = "with security.network = \"none\" this can never hold";
            self.wrong(message, &wait.span, "take it out, or another security.network");
        }
        if self.scope == Scope::System {
            return; // the watcher asks inside of it
        }
        // The second command of a start finds the network of the first in a user namespace that is not its own, and systemd
        // goes on without it ("network namespace setup failed, ignoring").
        if !service.pre_start.is_empty() || service.dependencies.has_waits() {
            let message =
                "in user scope only an app without pre_start, and that waits for nothing, can be without a network";
            self.wrong(
                message,
                &at.span,
                "install it with --system, or take another security.network",
            );
        }
        let health = m.health.as_ref().map(|health| &health.value.probe);
        let mut probes = health.into_iter().chain([&m.readiness.probe]);
        if probes.any(|probe| probe.http.is_some() || probe.tcp.is_some()) {
            let message = "in user scope what has no network cannot be asked over one";
            self.wrong(
                message,
                &at.span,
                "install it with --system, or take a command as probe",
            );
        }
    }

    fn writable(&mut self, service: &Service) -> Vec<PathBuf> {
        let mut folders = Vec::new();
        for at in &self.manifest.security.writable_directories {
            let folder = self.place(at);
            let is_kernels = ["/dev", "/proc", "/sys"].iter().any(|of| folder.starts_with(of));
            let is_throw_aways = || {
                OF_A_THROW_AWAY_USER
                    .iter()
                    .any(|of| folder.starts_with(of) && folder != Path::new(of))
            };
            if folder == Path::new("/") || is_kernels {
                let message = format!("{} is not the app's to write to", folder.display());
                self.wrong(message, &at.span, "name a folder of its own");
            } else if service.run_as == RunAs::Dynamic && !is_throw_aways() {
                let message = format!("a throw-away user can own no folder {}", folder.display());
                let help = "take one below /var/lib, /var/cache or /var/log, or name a user of its own";
                self.wrong(message, &at.span, help);
            } else if matches!(self.look.target(&folder), Ok(Some(entry)) if entry.kind != EntryKind::Folder) {
                self.lacking(format!("{} is no folder", folder.display()), &at.span, "name a folder");
            }
            if let Some(why) = super::carry::raw_path(&folder.to_string_lossy()) {
                self.wrong(
                    format!("{:?}: {why}", folder.to_string_lossy()),
                    &at.span,
                    "name it by a link",
                );
            }
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        folders
    }

    fn devices(&mut self) -> Vec<String> {
        let mut devices = Vec::new();
        for at in &self.manifest.security.devices {
            let path = Path::new(&at.value);
            let is_folder = matches!(self.look.target(path), Ok(Some(entry)) if entry.kind == EntryKind::Folder);
            let class = CLASSES.iter().find(|(folder, _)| path == Path::new(folder));
            let device = match class {
                Some((_, class)) => (*class).to_owned(),
                None if is_folder => {
                    let message = format!("{} is a folder", at.value);
                    let help =
                        "name the devices in it; of folders are known: /dev/bus/usb, /dev/dri, /dev/input, /dev/snd";
                    self.wrong(message, &at.span, help);
                    continue;
                }
                None => at.value.clone(),
            };
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        devices
    }

    fn capabilities(&mut self) -> Vec<String> {
        let written = &self.manifest.security.capabilities;
        if let Some(at) = written.first()
            && self.scope == Scope::User
        {
            let message = "a user's service manager has no capabilities to give";
            self.wrong(message, &at.span, "install it with --system, or leave it out");
        }
        let mut capabilities: Vec<_> = written.iter().map(|at| at.value.clone()).collect();
        capabilities.sort();
        capabilities.dedup();
        capabilities
    }
}

fn needs(look: &dyn Look, service: &Service, security: &Security) -> Needs {
    let programs = programs(look, service);
    let is_root = match &service.run_as {
        RunAs::User { user, .. } => user == "root" || user == "0",
        RunAs::Invoker => look.euid() == 0,
        RunAs::Dynamic => false,
    };
    let folder = &service.working_directory;
    let is_systems = OF_THE_SYSTEM.iter().any(|of| folder.starts_with(of));
    Needs {
        // A user's helper, which waits for others, lies in its home.
        home: uses_home(service, &programs) || (service.scope == Scope::User && service.dependencies.has_waits()),
        gpu: uses_gpu(service, security),
        usb: uses_usb(service, security),
        low_port: service.ports().iter().any(|port| port.number < 1024),
        is_native: is_native(look, service),
        is_root,
        system_folder: is_systems.then(|| folder.clone()),
    }
}

/// The programs that a start runs, with what their links lead to, and the interpreters of scripts.
fn programs(look: &dyn Look, service: &Service) -> Vec<PathBuf> {
    let commands = service.pre_start.iter().chain([&service.command]);
    let mut found = Vec::new();
    for program in commands.filter_map(|argv| argv.first()) {
        found.extend(Interpreter::of(look, Path::new(program)).map(|of| of.program));
        found.extend(way(look, Path::new(program)));
    }
    found
}

/// Whether all that a start runs is machine code of no program that is known to compile, or to run others.
fn is_native(look: &dyn Look, service: &Service) -> bool {
    let mut commands = service.pre_start.iter().chain([&service.command]);
    commands.all(|argv| {
        argv.first()
            .is_some_and(|program| is_machine_code(look, Path::new(program)))
    })
}

fn is_machine_code(look: &dyn Look, program: &Path) -> bool {
    let is_known = |name: &str| {
        MAY_COMPILE.iter().any(|known| {
            let rest = name.strip_prefix(known);
            rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || ".-".contains(c)))
        })
    };
    // By any of its names: js may be a link to node.
    let may_compile = way(look, program)
        .iter()
        .any(|place| is_known(&place.file_name().unwrap_or_default().to_string_lossy()));
    !may_compile && look.head(program, 4).is_ok_and(|start| start == b"\x7fELF")
}

fn uses_home(service: &Service, programs: &[PathBuf]) -> bool {
    let commands = service.pre_start.iter().chain([&service.command]);
    let words = commands.flatten().map(Path::new);
    // Lists of folders too, like PYTHONPATH.
    let values = service
        .environment
        .iter()
        .flat_map(|(_, value)| value.split(':').map(Path::new));
    let folders = [&service.working_directory].into_iter().chain(&service.path);
    let places = folders.chain(programs).map(PathBuf::as_path);
    let mut all = places.chain(words).chain(values);
    all.any(|place| HOMES.iter().any(|home| place.starts_with(home)))
}

fn uses_gpu(service: &Service, security: &Security) -> bool {
    let is_set = |(key, value): &(String, String)| {
        matches!(key.as_str(), "CUDA_VISIBLE_DEVICES" | "NVIDIA_VISIBLE_DEVICES")
            && !matches!(value.as_str(), "" | "-1" | "none" | "void")
    };
    let waits_for = |probe: &Probe| matches!(probe, Probe::File { path } if path.starts_with("/dev") && path.to_string_lossy().contains("nvidia"));
    service.requirements.cuda.is_some()
        || service.dependencies.wait_for.iter().any(waits_for)
        || security.devices.iter().any(|device| device.contains("nvidia"))
        || service.environment.iter().any(is_set)
}

fn uses_usb(service: &Service, security: &Security) -> bool {
    let is_adb = |name: &str| matches!(name, "adb" | "fastboot");
    let program = service.command.first().map(Path::new).and_then(Path::file_name);
    service.requirements.executables.iter().any(|name| is_adb(name))
        || program.is_some_and(|name| is_adb(&name.to_string_lossy()))
        || service.path.iter().any(|folder| folder.ends_with("platform-tools"))
        || security
            .devices
            .iter()
            .any(|device| device == "char-usb_device" || device.starts_with("/dev/bus/usb/"))
}
