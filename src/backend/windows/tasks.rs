//! schtasks(1): what it is asked, and how its answers are read. Nothing here reads a word: they are in the language of the system.
//! Language-proof are the exit code, the XML of a task, and one number in one field of a list.

use std::path::Path;

use super::{Anchor, kept};
use crate::{
    exit::{Exit, Failure},
    system::{Cmd, Probe},
};

/// Makes the exit code an `HRESULT` (schtasks, Windows Server 2008 and later); Wine's does not know it.
pub const HRESULT: &str = "/HRESULT";

/// `HRESULT_FROM_WIN32` of `ERROR_ACCESS_DENIED` and `ERROR_FILE_NOT_FOUND`.
pub const DENIED: u32 = 0x8007_0005;
/// See [`DENIED`].
pub const MISSING: u32 = 0x8007_0002;
/// `SCHED_S_TASK_RUNNING` and `SCHED_S_TASK_QUEUED` ([MS-TSCH] 2.3.4, Task Scheduler Error and Success Constants).
pub const RUNNING: u32 = 0x0004_1301;
/// See [`RUNNING`].
pub const QUEUED: u32 = 0x0004_1325;
/// `SCHED_S_TASK_READY`, `SCHED_S_TASK_DISABLED`, `SCHED_S_TASK_HAS_NOT_RUN`, `SCHED_S_TASK_TERMINATED`: it does not run (as above).
pub const READY: u32 = 0x0004_1300;
/// See [`READY`].
pub const OFF: u32 = 0x0004_1302;
/// See [`READY`].
pub const NEVER: u32 = 0x0004_1303;
/// See [`READY`].
pub const ENDED: u32 = 0x0004_1306;
/// `SCHED_E_TASK_NOT_RUNNING`.
const IDLE: u32 = 0x8004_130b;

/// One task.
#[derive(Debug, Clone)]
pub struct Task {
    program: String,
    name: String,
}

/// What the Task Scheduler has of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// Nothing.
    No,
    /// This; and its XML, where that is known to be whole.
    As(Facts, Option<String>),
    /// It is there; more is not told: it may not be looked at, or schtasks does not tell it.
    Somehow,
}

/// What of a task decides whether it does as it was installed to do. Windows may write the rest in another way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it may be started at all.
    pub is_enabled: bool,
    command: String,
    arguments: String,
    triggers: Vec<String>,
    /// What bounds its runs.
    pub bounds: Bounds,
}

/// What keeps a task from running, or ends its runs, beside its triggers ([MS-TSCH] 2.5.4, `settingsType`). What is not written
/// has its default, which bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Whether it is not started on batteries (`DisallowStartIfOnBatteries`; by default it is not).
    pub is_kept_from_batteries: bool,
    /// Whether it is ended once the machine is on batteries (`StopIfGoingOnBatteries`; by default it is).
    pub is_ended_on_batteries: bool,
    /// After how long a run is ended, as it is written (`ExecutionTimeLimit`, by default `PT72H`); none for never, `PT0S`.
    pub time_limit: Option<String>,
}

impl Task {
    /// The task of an app.
    pub fn new(system: &Path, app: &str) -> Self {
        Self {
            program: system.join("schtasks.exe").to_string_lossy().into_owned(),
            name: app.into(),
        }
    }

    fn cmd(&self, verb: &str, rest: &[&str]) -> Cmd {
        let words = [verb, "/tn", &self.name].into_iter().chain(rest.iter().copied());
        Cmd::new(&self.program, words.chain([HRESULT]))
    }

    /// Registers it, also in place of an earlier one.
    pub fn create(&self, xml: &Path) -> Cmd {
        self.cmd("/create", &["/xml", &xml.to_string_lossy(), "/f"])
    }

    /// Removes it.
    pub fn delete(&self) -> Cmd {
        self.cmd("/delete", &["/f"])
    }

    /// Starts it now.
    pub fn run(&self) -> Cmd {
        self.cmd("/run", &[])
    }

    /// Ends what it started, as far as the Task Scheduler can.
    pub fn end(&self) -> Cmd {
        self.cmd("/end", &[])
    }

    /// Keeps it from being started.
    pub fn disable(&self) -> Cmd {
        self.cmd("/change", &["/disable"])
    }

    /// Lets it be started again.
    pub fn enable(&self) -> Cmd {
        self.cmd("/change", &["/enable"])
    }

    /// What the Task Scheduler has of it. A schtasks that says nothing and means well (Wine's) leaves the file that is kept.
    pub fn registered(&self, look: &dyn Probe, system: &Path) -> Registered {
        let Some((code, said)) = ask(look, &self.cmd("/query", &["/xml"])) else {
            return Registered::Somehow;
        };
        let kept = system.join("Tasks").join(&self.name);
        match code.cast_unsigned() {
            0 if said.trim().is_empty() => match look.entry(&kept) {
                Ok(None) => Registered::No,
                _ => Registered::Somehow,
            },
            0 => match Facts::of(&said) {
                Some(facts) => Registered::As(facts, kept::whole(look, &kept, &said)),
                None => Registered::Somehow,
            },
            DENIED => Registered::Somehow,
            _ => Registered::No,
        }
    }

    /// How it ended last, or that it runs.
    pub fn last_result(&self, look: &dyn Probe) -> Option<u32> {
        let (code, said) = ask(look, &self.cmd("/query", &["/v", "/fo", "csv", "/nh"]))?;
        (code == 0).then(|| last_result(&said)).flatten()
    }
}

fn ask(look: &dyn Probe, cmd: &Cmd) -> Option<(i32, String)> {
    let mut output = look.query(cmd).ok()?;
    if let Some(again) = Anchor::instead(cmd, output.code) {
        output = look.query(&again).ok()?;
    }
    Some((output.code, output.stdout))
}

impl Registered {
    /// Whether it is there.
    pub fn is_there(&self) -> bool {
        *self != Self::No
    }

    /// What it does, where that is known.
    pub fn facts(&self) -> Option<&Facts> {
        match self {
            Self::As(facts, _) => Some(facts),
            Self::No | Self::Somehow => None,
        }
    }

    /// Its XML, where that is known to be whole.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::As(_, text) => text.as_deref(),
            Self::No | Self::Somehow => None,
        }
    }
}

impl Facts {
    /// From the text of a task.
    pub fn of(text: &str) -> Option<Self> {
        let document = roxmltree::Document::parse(text.trim_start_matches('\u{feff}').trim()).ok()?;
        let task = document.root_element();
        let child = |node: roxmltree::Node, name: &str| -> Option<String> {
            let found = node.children().find(|child| child.tag_name().name() == name)?;
            Some(found.text().unwrap_or_default().trim().to_owned())
        };
        let section = |name: &str| task.children().find(|child| child.tag_name().name() == name);
        let exec = section("Actions")?
            .children()
            .find(|child| child.tag_name().name() == "Exec");
        let triggers = section("Triggers").into_iter().flat_map(|triggers| triggers.children());
        let setting = |name: &str| section("Settings").and_then(|settings| child(settings, name));
        let is_set = |name: &str| setting(name).is_none_or(|value| matches!(value.as_str(), "true" | "1"));
        let limit = setting("ExecutionTimeLimit").unwrap_or_else(|| "PT72H".into());
        Some(Self {
            is_enabled: is_set("Enabled"),
            command: exec.and_then(|exec| child(exec, "Command")).unwrap_or_default(),
            arguments: exec.and_then(|exec| child(exec, "Arguments")).unwrap_or_default(),
            triggers: triggers
                .filter(roxmltree::Node::is_element)
                .map(|trigger| trigger.tag_name().name().to_owned())
                .collect(),
            bounds: Bounds {
                is_kept_from_batteries: is_set("DisallowStartIfOnBatteries"),
                is_ended_on_batteries: is_set("StopIfGoingOnBatteries"),
                time_limit: Some(limit).filter(|limit| limit.contains(|c: char| matches!(c, '1'..='9'))),
            },
        })
    }

    /// From a file as we write it: UTF-16 with its mark.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        Self::of(&kept::text_of(bytes)?)
    }

    /// Whether it starts the same at the same occasions. That somebody switched it off is another matter.
    pub fn does_as(&self, other: &Self) -> bool {
        let is_same_program = self
            .command
            .trim_matches('"')
            .eq_ignore_ascii_case(other.command.trim_matches('"'));
        is_same_program && self.arguments == other.arguments && self.triggers == other.triggers
    }
}

/// The seventh field of the first line (`/query /v /fo csv /nh`): a number in every language, signed, and of 32 bits.
fn last_result(csv: &str) -> Option<u32> {
    const FIELD: usize = 6;
    let line = csv.lines().find(|line| !line.trim().is_empty())?;
    let field = fields(line).into_iter().nth(FIELD)?;
    let number: i64 = field.trim().parse().ok()?;
    u32::try_from(number)
        .ok()
        .or_else(|| i32::try_from(number).ok().map(i32::cast_unsigned))
}

/// The fields of a line; a quote within one is written twice (RFC 4180).
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut is_quoted = false;
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' if is_quoted && rest.peek() == Some(&'"') => {
                rest.next();
                fields.last_mut().map(|field| field.push('"')).unwrap_or_default();
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => fields.push(String::new()),
            c => fields.last_mut().map(|field| field.push(c)).unwrap_or_default(),
        }
    }
    fields
}

/// Whether what was to be removed is not there, or what was to be ended does not run.
pub fn is_gone(cmd: &Cmd, code: i32) -> bool {
    let verb = cmd.args.first().map(String::as_str).filter(|_| is_schtasks(cmd));
    matches!(
        (verb, code.cast_unsigned()),
        (Some("/delete" | "/end"), MISSING) | (Some("/end"), IDLE)
    )
}

/// Whether it has the Task Scheduler start something.
pub fn is_start(cmd: &Cmd) -> bool {
    is_schtasks(cmd) && cmd.args.first().is_some_and(|verb| verb == "/run")
}

fn is_schtasks(cmd: &Cmd) -> bool {
    cmd.program.ends_with("schtasks.exe")
}

/// What an exit code means, with what is to be done about it; what was said is in the system's language, and passed on.
pub fn explain(cmd: &Cmd, code: i32, said: &str) -> Option<Failure> {
    if !is_schtasks(cmd) {
        return None;
    }
    let code = code.cast_unsigned();
    let why = match code {
        DENIED => "it is denied",
        MISSING => "there is no such task, or no such file",
        0x8004_131a => "it finds the task's XML malformed",
        0x8004_1318 => "a value in the task's XML is not one that it knows",
        0x8004_1326 => "the task is disabled",
        0x8007_0534 => "the account of the task is not known",
        _ => "it failed",
    };
    let said = said.trim();
    let colon = if said.is_empty() { "" } else { ": " };
    let failure = Failure::new(Exit::Failed, format!("`{cmd}`: {why} ({code:#x}){colon}{said}"));
    Some(match code {
        DENIED => Failure {
            exit: Exit::Privilege,
            ..failure
        }
        .repair(WAYS_OUT),
        0x8004_1326 => {
            let name = cmd.args.get(2).map_or("NAME", String::as_str);
            failure.repair(format!(
                "schtasks /change /tn {name} /enable, or install it with --force"
            ))
        }
        _ => failure,
    })
}

/// What who may not register a task at boot can do.
pub const WAYS_OUT: &str = "run it in a console that was opened with \"Run as administrator\"\n        or let a logon start it, which takes no administrator: windows.trigger = \"logon\", or windows.method = \"startup-folder\"";

#[cfg(test)]
mod tests {
    use super::*;

    /// As schtasks is documented to answer; the words are what such a system says, in its code page.
    #[test]
    fn the_last_result_is_read_in_every_language() {
        // 就绪, 正在运行, 交互方式/后台方式 in GBK; Wird ausgeführt, Nicht zutreffend in 850; 準備完了, 実行中 in 932.
        let lines: [(&[u8], Option<u32>); 6] = [
            (
                b"\"PC\",\"\\app\",\"N/A\",\"Ready\",\"Interactive/Background\",\"11/24/2026 1:02:03 PM\",\"0\",\"VM\\root\"\r\n",
                Some(0),
            ),
            (
                b"\"PC\",\"\\app\",\"N/A\",\"\xd5\xfd\xd4\xda\xd4\xcb\xd0\xd0\",\"\xbd\xbb\xbb\xa5\xb7\xbd\xca\xbd/\xba\xf3\xcc\xa8\xb7\xbd\xca\xbd\",\"2026/11/24 13:02:03\",\"267009\",\"a\"\r\n",
                Some(RUNNING),
            ),
            (
                b"\"PC\",\"\\app\",\"Nicht zutreffend\",\"Wird ausgef\x81hrt\",\"Interaktiv/Hintergrund\",\"24.11.2026 13:02:03\",\"267009\",\"a\"\r\n",
                Some(RUNNING),
            ),
            (
                b"\r\n\"PC\",\"\\app\",\"N/A\",\"\x8f\x80\x94\xf5\x8a\xae\x97\xb9\",\"\x91\xce\x98b\x8c^/\x83o\x83b\x83N\",\"2026/11/24 13:02:03\",\"-2147024891\",\"a\"\r\n",
                Some(DENIED),
            ),
            (b"\"PC\",\"say \"\"x, y\"\"\",\"a,b\",\"\",\"\",\"\",\"3221225786\"\r\n", Some(0xc000_013a)),
            (b"ERROR: The system cannot find the file specified.\r\n", None),
        ];
        for (line, expected) in lines {
            assert_eq!(last_result(&String::from_utf8_lossy(line)), expected, "{line:?}");
        }
        assert_eq!(last_result(""), None);
    }

    #[test]
    fn a_task_is_the_same_however_windows_writes_it() {
        let ours = Facts::of(
            "<?xml version=\"1.0\" encoding=\"UTF-16\"?><Task xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\"><Triggers><BootTrigger/></Triggers><Settings/><Actions><Exec><Command>C:\\a b\\x.exe</Command><Arguments>serve \"a b\"</Arguments></Exec></Actions></Task>",
        )
        .expect("it is a task");
        assert!(ours.is_enabled);
        let theirs = "\u{feff}<Task version=\"1.2\" xmlns=\"http://schemas.microsoft.com/windows/2004/02/mit/task\">\r\n<RegistrationInfo><Date>2026</Date></RegistrationInfo><Triggers><BootTrigger><Enabled>true</Enabled></BootTrigger></Triggers><Settings><Enabled>false</Enabled></Settings><Actions Context=\"Author\"><Exec><Command>c:\\A b\\x.exe</Command><Arguments>serve \"a b\"</Arguments></Exec></Actions></Task>\r\n";
        let there = Facts::of(theirs).expect("as above");
        assert!(there.does_as(&ours) && !there.is_enabled);
        let other = Facts::of(&theirs.replace("serve", "other")).expect("as above");
        assert!(!other.does_as(&ours));
        let other = Facts::of(&theirs.replace("BootTrigger", "LogonTrigger")).expect("as above");
        assert!(!other.does_as(&ours));
        assert_eq!(Facts::of("ERROR: no"), None);
        assert_eq!(Facts::of(""), None);
    }

    #[test]
    fn a_denial_is_told_with_the_step_and_the_two_ways_out() {
        let cmd = Task::new(Path::new("C:/Windows/System32"), "app").create(Path::new("C:/x.xml"));
        let failure = explain(&cmd, DENIED.cast_signed(), "拒绝访问。\r\n").expect("it is schtasks");
        assert_eq!(failure.exit, Exit::Privilege);
        assert!(
            failure.message.contains("/create /tn app") && failure.message.contains("(0x80070005): 拒绝访问。"),
            "{failure}"
        );
        assert!(failure.repair.contains("Run as administrator") && failure.repair.contains("trigger = \"logon\""));
        assert_eq!(Anchor::instead(&cmd, DENIED.cast_signed()), None);
        let again = Anchor::instead(&cmd, 1).expect("an older one knows no /HRESULT");
        assert_eq!(again.args, ["/create", "/tn", "app", "/xml", "C:/x.xml", "/f"]);
        assert_eq!(Anchor::instead(&again, 1), None);
    }
}
