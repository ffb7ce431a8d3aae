//! `[logging]`: where output goes, and how much of it.

use super::{Checker, level_variable, or};
use crate::{
    service::{Destination, Logging, RateLimit},
    values,
};

impl Checker<'_> {
    pub(super) fn logging(&mut self) -> Logging {
        let written = &self.manifest.logging;
        let variable = level_variable(self.manifest);
        if let Some(at) = &written.level_variable
            && !values::is_variable(variable)
        {
            let help = "letters, digits and _, not beginning with a digit";
            self.wrong(format!("{variable:?} is no name of a variable"), &at.span, help);
        }
        Logging {
            level: written
                .level
                .as_ref()
                .map(|level| (level.value.clone(), variable.to_owned())),
            rate_limit: RateLimit {
                burst: written
                    .burst
                    .as_ref()
                    .map_or(10_000, |burst| u32::try_from(burst.value).unwrap_or(u32::MAX)),
                interval: or(written.interval.as_ref(), 30),
            },
            destination: self.destination(),
            file: self.log_file(),
            max_size: written
                .max_size
                .as_ref()
                .map_or(Logging::default_max_size(), |at| at.value),
            max_files: written.max_files.as_ref().map_or(Logging::default_max_files(), |at| {
                u32::try_from(at.value).unwrap_or(u32::MAX)
            }),
        }
    }

    fn log_file(&mut self) -> Option<std::path::PathBuf> {
        let written = self.manifest.logging.file.as_ref()?;
        if self.is_everybodys() {
            let message = "installed for whoever logs on to Windows, several users would write into one file";
            self.wrong(
                message,
                &written.span,
                "leave it out: each user's instance has a log of its own",
            );
        }
        Some(self.place(written))
    }

    /// What is said of files means files.
    fn destination(&mut self) -> Option<Destination> {
        let written = &self.manifest.logging;
        let of_files = [
            written.file.as_ref().map(|at| &at.span),
            written.max_size.as_ref().map(|at| &at.span),
            written.max_files.as_ref().map(|at| &at.span),
        ];
        match written.destination.as_ref().map(|at| at.value.as_str()) {
            Some("journal") => {
                for span in of_files.into_iter().flatten() {
                    let help = "take it out, or write destination = \"file\"";
                    self.wrong("the journal has no file, and limits of its own", span, help);
                }
                Some(Destination::Journal)
            }
            Some(_) => Some(Destination::File),
            None => None,
        }
    }
}
