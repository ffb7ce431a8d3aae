//! The control sockets of crews: what others tell them, and what they answer.

use std::{
    collections::BTreeSet,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
};

use super::{News, SLACK};
use crate::{
    platform::{self, Client, Listening},
    supervisor::{Rooms, control::OK},
    system::{Probe, System},
};

/// They lie beside those of apps, with this and the number of the process as their name; no app has such a name.
const MARK: &str = "+";
/// Names the crew's own socket to the supervisors that it starts.
pub(in crate::supervisor) const VARIABLE: &str = "AUTOGLM_BOOT_CREW";

/// Has a crew of this scope start an app: the one it is of, or else any; `None` where there is none.
pub(in crate::supervisor) fn start(rooms: &Rooms, look: &dyn Probe) -> Option<()> {
    let app = rooms.app.as_str();
    let crews: Vec<_> = sockets(&rooms.site.sockets(), look).collect();
    let does = |verb: &str| {
        let asks = |crew: &&PathBuf| platform::tell(crew, &format!("{verb} {app}"), SLACK).is_ok_and(|said| said == OK);
        crews.iter().find(asks).map(drop)
    };
    does("start").or_else(|| does("adopt"))
}

/// Tells the crew whose socket this is, that an app is ready.
pub(in crate::supervisor) fn tell_ready(crew: &Path, app: &str) {
    let _ = platform::tell(crew, &format!("ready {app}"), SLACK); // whoever does not listen needs not know
}

/// Listens at a socket of our own, whose path is returned, as long as what is returned with it is kept.
pub(super) fn listen(
    rooms: &Rooms,
    names: Names,
    news: mpsc::Sender<News>,
    system: &dyn System,
) -> io::Result<(PathBuf, Listening)> {
    let folder = rooms.site.sockets();
    for stale in sockets(&folder, system).filter(|socket| !platform::is_served(socket)) {
        let _ = system.remove(&stale); // a killed one has left it: it does no harm
    }
    let socket = folder.join(format!("{MARK}{}", std::process::id()));
    let control = Control { names, news };
    let answer = move |words: &str, client: &mut Client| control.answer(words, client);
    let listening = platform::listen(&socket, answer, |_| {})?; // who would hear of trouble? It is tried again
    Ok((socket, listening))
}

fn sockets(folder: &Path, look: &dyn Probe) -> impl Iterator<Item = PathBuf> + use<> {
    let all = look.list(folder).unwrap_or_default().into_iter();
    all.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(MARK))
    })
}

/// The apps of a crew.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(Arc<Mutex<BTreeSet<String>>>);

impl Names {
    pub(super) fn add(&self, name: &str) {
        self.all().insert(name.to_owned());
    }

    fn all(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // a set of names is whole whoever panicked
    }
}

struct Control {
    names: Names,
    news: mpsc::Sender<News>,
}

impl Control {
    fn answer(&self, words: &str, client: &mut Client) -> io::Result<()> {
        let news = match words.split_once(' ') {
            Some(("start", app)) if !self.names.all().contains(app) => return writeln!(client, "it is not of us"),
            Some(("start" | "adopt", app)) => News::Start(app.into()),
            Some(("ready", app)) => News::Ready(app.into()),
            _ => return writeln!(client, "unknown: {words}"),
        };
        match self.news.send(news) {
            Ok(()) => writeln!(client, "{OK}"),
            Err(_) => writeln!(client, "it is over"),
        }
    }
}
