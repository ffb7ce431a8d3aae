//! A double of schtasks.exe, for a prefix of Wine that is thrown away: Wine's own creates and deletes tasks, but starts none. This
//! one keeps tasks as files in its own folder, starts what they say with the command line they say, and answers as schtasks is
//! documented to, in the words and the code page of a Chinese Windows. What it is asked is written into `calls`; a file `deny` there
//! makes it deny the registration of whatever starts at boot.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::zombie_processes,
    reason = "tests"
)]
#![cfg_attr(not(windows), allow(unused))]

#[cfg(not(windows))]
fn main() {}

#[cfg(windows)]
fn main() {
    std::process::exit(double::run().cast_signed());
}

#[cfg(windows)]
mod double {
    use std::{
        fs,
        io::Write as _,
        os::windows::process::CommandExt as _,
        path::{Path, PathBuf},
        process::{Command, Stdio},
    };

    const DENIED: u32 = 0x8007_0005;
    const MISSING: u32 = 0x8007_0002;
    const MALFORMED: u32 = 0x8004_131a;
    const DISABLED: u32 = 0x8004_1326;
    const RUNNING: u32 = 0x0004_1301;
    const NEVER: u32 = 0x0004_1303;
    const ENDED: u32 = 0x0004_1306;
    const IDLE: u32 = 0x8004_130b;

    pub(super) fn run() -> u32 {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let folder = folder();
        if words[0] == "start" {
            return start(&folder, &words[1]);
        }
        let mut calls = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("calls"))
            .unwrap();
        writeln!(calls, "{}", words.join(" ")).unwrap();
        let after = |word: &str| words.iter().skip_while(|other| *other != word).nth(1).cloned();
        let has = |word: &str| words.iter().any(|other| other == word);
        let Some(name) = after("/tn").filter(|_| has("/HRESULT")) else {
            return 1;
        };
        let file = folder.join(format!("{name}.xml"));
        if words[0] == "/create" {
            return create(&folder, &file, &after("/xml").unwrap(), has("/f"));
        }
        let Some(xml) = read(&file) else {
            // 错误: 系统找不到指定的文件。
            complain(b"\xb4\xed\xce\xf3: \xcf\xb5\xcd\xb3\xd5\xd2\xb2\xbb\xb5\xbd\xd6\xb8\xb6\xa8\xb5\xc4\xce\xc4\xbc\xfe\xa1\xa3\r\n");
            return MISSING;
        };
        match words[0].as_str() {
            "/delete" => {
                fs::remove_file(&file).unwrap();
                let _ = fs::remove_file(folder.join(format!("{name}.result")));
            }
            "/query" if has("/xml") => {
                // Windows writes a task anew: other white space, and what it adds itself.
                let anew = xml.replace("\r\n  ", "\n ").replace(
                    "<RegistrationInfo>",
                    "<RegistrationInfo><Date>2026-11-24T13:00:00</Date>",
                );
                std::io::stdout().write_all(&utf16(&anew)).unwrap();
            }
            "/query" => list(&result(&folder, &name)),
            "/run" if element(&xml, "Settings", "Enabled") == "false" => return DISABLED,
            "/run" => {
                if is_running(&folder, &name).is_none() {
                    let own = std::env::current_exe().unwrap();
                    Command::new(own)
                        .args(["start", &name])
                        .stdin(Stdio::null())
                        .stdout(Stdio::null())
                        .stderr(Stdio::null())
                        .spawn()
                        .unwrap();
                }
            }
            "/end" => {
                let Some(pid) = is_running(&folder, &name) else {
                    return IDLE;
                };
                fs::write(folder.join(format!("{name}.end")), "").unwrap();
                Command::new("taskkill")
                    .args(["/f", "/pid", &pid.to_string()])
                    .output()
                    .unwrap();
            }
            "/change" => {
                let (from, to) = if has("/disable") {
                    ("true", "false")
                } else {
                    ("false", "true")
                };
                let (head, settings) = xml.split_once("<Settings>").unwrap();
                let settings = settings.replacen(&format!("<Enabled>{from}<"), &format!("<Enabled>{to}<"), 1);
                fs::write(&file, utf16(&format!("{head}<Settings>{settings}"))).unwrap();
            }
            _ => return 1,
        }
        0
    }

    fn folder() -> PathBuf {
        let folder = std::env::current_exe().unwrap().with_file_name("schtasks-double");
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn create(folder: &Path, file: &Path, xml: &str, is_forced: bool) -> u32 {
        let Some(text) = read(Path::new(xml)) else {
            return MALFORMED;
        };
        if folder.join("deny").exists() && text.contains("<BootTrigger>") {
            complain(b"\xb4\xed\xce\xf3: \xbe\xdc\xbe\xf8\xb7\xc3\xce\xca\xa1\xa3\r\n"); // 错误: 拒绝访问。
            return DENIED;
        }
        if file.exists() && !is_forced {
            return 0x8007_00b7;
        }
        fs::write(file, utf16(&text)).unwrap();
        0
    }

    /// What the Task Scheduler does: starts the action with its command line as it is, waits for it, and keeps how it ended.
    fn start(folder: &Path, name: &str) -> u32 {
        let xml = read(&folder.join(format!("{name}.xml"))).unwrap();
        let mut command = Command::new(element(&xml, "Exec", "Command"));
        command
            .raw_arg(element(&xml, "Exec", "Arguments"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let at = element(&xml, "Exec", "WorkingDirectory");
        if !at.is_empty() {
            command.current_dir(at);
        }
        let result = folder.join(format!("{name}.result"));
        let Ok(mut child) = command.spawn() else {
            fs::write(result, MISSING.to_string()).unwrap();
            return 0;
        };
        let running = folder.join(format!("{name}.running"));
        fs::write(&running, child.id().to_string()).unwrap();
        let code = child.wait().unwrap().code().unwrap().cast_unsigned();
        let is_ended = fs::remove_file(folder.join(format!("{name}.end"))).is_ok();
        let code = if is_ended { ENDED } else { code };
        if folder.join(format!("{name}.xml")).exists() {
            fs::write(result, code.to_string()).unwrap();
        }
        fs::remove_file(running).unwrap();
        0
    }

    fn is_running(folder: &Path, name: &str) -> Option<u32> {
        fs::read_to_string(folder.join(format!("{name}.running")))
            .ok()?
            .parse()
            .ok()
    }

    fn result(folder: &Path, name: &str) -> String {
        if is_running(folder, name).is_some() {
            return RUNNING.to_string();
        }
        let code = fs::read_to_string(folder.join(format!("{name}.result"))).unwrap_or(NEVER.to_string());
        code.parse::<u32>().unwrap().cast_signed().to_string()
    }

    /// 就绪 and 交互方式/后台方式 in GBK.
    fn list(result: &str) {
        let mut line = b"\"PC\",\"\\app\",\"N/A\",\"\xbe\xcd\xd0\xf7\",\"\xbd\xbb\xbb\xa5\xb7\xbd\xca\xbd/\xba\xf3\xcc\xa8\xb7\xbd\xca\xbd\",\"2026/11/24 13:02:03\",\"".to_vec();
        line.extend(result.as_bytes());
        line.extend(b"\",\"PC\\a\"\r\n");
        std::io::stdout().write_all(&line).unwrap();
    }

    fn complain(bytes: &[u8]) {
        std::io::stderr().write_all(bytes).unwrap();
    }

    fn read(file: &Path) -> Option<String> {
        let bytes = fs::read(file).ok()?;
        let units: Vec<_> = bytes
            .strip_prefix(&[0xff, 0xfe])?
            .chunks(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
            .collect();
        let text = String::from_utf16(&units).ok()?;
        roxmltree::Document::parse(&text).is_ok().then_some(text)
    }

    fn utf16(text: &str) -> Vec<u8> {
        std::iter::once(0xfeff)
            .chain(text.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect()
    }

    fn element(xml: &str, section: &str, name: &str) -> String {
        let document = roxmltree::Document::parse(xml).unwrap();
        let mut sections = document.descendants().filter(|node| node.tag_name().name() == section);
        let found = sections.find_map(|node| node.children().find(|child| child.tag_name().name() == name));
        found.and_then(|node| node.text()).unwrap_or_default().to_owned()
    }
}
