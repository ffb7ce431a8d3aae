//! An app for tests on Windows: a tree of three processes, whose first answers HTTP. `tree PORT FILE`: every process of it writes
//! its number into the file; with `alone` behind it, it is one. `/crash` ends the first with status 3, `/say/WORD` has it say a line, `/env/NAME` asks for a variable.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    clippy::zombie_processes,
    reason = "tests"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    process::{Command, exit},
    time::Duration,
};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let (port, file) = (&words[1], &words[2]);
    let is_alone = words.get(3).is_some_and(|word| word == "alone");
    let level: u32 = words
        .get(3)
        .filter(|_| !is_alone)
        .map_or(1, |level| level.parse().unwrap());
    let mut list = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
    writeln!(list, "{}", std::process::id()).unwrap();
    drop(list);
    if level < 3 && !is_alone {
        let own = std::env::current_exe().unwrap();
        let next = (level + 1).to_string();
        Command::new(own).args([port, file, &next]).spawn().unwrap();
    }
    if level > 1 {
        std::thread::sleep(Duration::from_mins(10));
        return;
    }
    println!("serving {port}");
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for client in listener.incoming().flatten() {
        let _ = answer(client); // whoever asked went away
    }
}

fn answer(mut client: TcpStream) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(client.try_clone()?).read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let body = match path.split('/').collect::<Vec<_>>().as_slice() {
        ["", "crash"] => exit(3),
        ["", "say", word] => {
            println!("{word}");
            "said".to_owned()
        }
        ["", "env", name] => std::env::var(name).unwrap_or_default(),
        _ => "ok".to_owned(),
    };
    write!(
        client,
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
