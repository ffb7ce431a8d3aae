//! What the system tells of every process, whoever asks (`NtQuerySystemInformation`, `SystemProcessInformation`): a process of
//! another account could not be opened for it.

use std::{io, sync::OnceLock};

use windows_sys::{
    Wdk::System::SystemInformation::{
        NtQuerySystemInformation, SYSTEM_INFORMATION_CLASS, SystemProcessInformation, SystemTimeOfDayInformation,
    },
    Win32::{
        Foundation::{RtlNtStatusToDosError, STATUS_INFO_LENGTH_MISMATCH},
        System::WindowsProgramming::{SYSTEM_PROCESS_INFORMATION, SYSTEM_TIMEOFDAY_INFORMATION},
    },
};

/// A process that is there.
struct Process {
    pid: u32,
    /// In units of 100 ns since 1601.
    created: u64,
    /// Bytes of memory that it has at the moment.
    working_set: u64,
}

/// Bytes of memory that a process has at the moment (its working set).
pub fn resident(pid: u32) -> Option<u64> {
    let found = processes().ok()?.into_iter().find(|process| process.pid == pid)?;
    Some(found.working_set)
}

/// What tells this boot from others: when the first process began, which is written down once. When the system booted is told as
/// well, but changes whenever its clock is set; that is only asked where there is no such process, as under Wine. A fast startup
/// (hibernation of the system itself) is no boot: what runs in session 0 lives on, and no trigger at boot fires. Empty where
/// nothing is told.
pub fn boot() -> String {
    const SYSTEM: u32 = 4;
    static BOOT: OnceLock<String> = OnceLock::new();
    let began = || {
        let first = processes().ok()?.into_iter().find(|process| process.pid == SYSTEM)?;
        Some(first.created).filter(|&created| created != 0)
    };
    let boot = BOOT.get_or_init(|| match began().or_else(boot_time) {
        Some(time) => format!("{time:016x}"),
        None => String::new(),
    });
    boot.clone()
}

/// When the system booted, in units of 100 ns since 1601: the first number of what is told of its time.
fn boot_time() -> Option<u64> {
    let mut room = [0_u64; size_of::<SYSTEM_TIMEOFDAY_INFORMATION>() / 8];
    asked(SystemTimeOfDayInformation, &mut room).ok()?;
    Some(room[0]).filter(|&time| time != 0)
}

#[allow(unsafe_code)]
fn processes() -> io::Result<Vec<Process>> {
    let mut room = vec![0_u64; 16 * 1024];
    while let Err(needed) = asked(SystemProcessInformation, &mut room) {
        // Others may begin meanwhile.
        let needed = needed? as usize / 8;
        room = vec![0; needed.max(room.len()) + 1024];
    }
    let (whole, length) = (size_of_val(room.as_slice()), size_of::<SYSTEM_PROCESS_INFORMATION>());
    let (mut found, mut at) = (Vec::new(), 0);
    while at + length <= whole {
        // SAFETY: it lies within the room, in which any bits are such a structure.
        let entry = unsafe {
            let place = room.as_ptr().cast::<u8>().add(at);
            place.cast::<SYSTEM_PROCESS_INFORMATION>().read_unaligned()
        };
        found.push(Process {
            pid: u32::try_from(entry.UniqueProcessId.addr()).unwrap_or_default(),
            created: created(&entry),
            working_set: entry.WorkingSetSize as u64,
        });
        match entry.NextEntryOffset {
            0 => break,
            next => at += next as usize,
        }
    }
    Ok(found)
}

/// `CreateTime`, which the documentation calls reserved: behind two numbers of eight bytes and two of four. The test below
/// compares it with what is documented.
fn created(entry: &SYSTEM_PROCESS_INFORMATION) -> u64 {
    const AT: usize = 24;
    let bytes = entry.Reserved1[AT..AT + 8].try_into().unwrap_or_default();
    u64::from_ne_bytes(bytes)
}

/// Asks the system; where the room is too small, the error is what it needs.
#[allow(unsafe_code)]
fn asked(what: SYSTEM_INFORMATION_CLASS, room: &mut [u64]) -> Result<(), io::Result<u32>> {
    let (bytes, mut needed) = (u32::try_from(size_of_val(room)).unwrap_or(u32::MAX), 0);
    // SAFETY: the room is as long as it is said to be, and aligned.
    let status = unsafe { NtQuerySystemInformation(what, room.as_mut_ptr().cast(), bytes, &raw mut needed) };
    match status {
        0 => Ok(()),
        STATUS_INFO_LENGTH_MISMATCH => Err(Ok(needed)),
        // SAFETY: it takes a number.
        status => {
            let code = unsafe { RtlNtStatusToDosError(status) };
            Err(Err(io::Error::from_raw_os_error(code.cast_signed())))
        }
    }
}

#[cfg(test)]
mod tests {
    use windows_sys::Win32::{
        Foundation::FILETIME,
        System::Threading::{GetCurrentProcess, GetProcessTimes},
    };

    use super::*;

    /// As it is documented (`GetProcessTimes`).
    #[allow(unsafe_code)]
    fn own_begin() -> u64 {
        let mut times = [FILETIME::default(); 4];
        let [begin, end, kernel, user] = &mut times;
        // SAFETY: the handle of our own process needs no closing; it writes four times, into ours.
        assert_ne!(
            unsafe { GetProcessTimes(GetCurrentProcess(), begin, end, kernel, user) },
            0
        );
        u64::from(times[0].dwHighDateTime) << 32 | u64::from(times[0].dwLowDateTime)
    }

    #[test]
    fn we_are_among_the_processes_with_our_own_begin_and_our_memory() {
        let all = processes().expect("it is told");
        let own: Vec<_> = all.iter().filter(|process| process.pid == std::process::id()).collect();
        assert_eq!(own.len(), 1, "of {}", all.len());
        assert_eq!(own[0].created, own_begin());
        let before = resident(std::process::id()).expect("we are there");
        assert!((256 << 10..1 << 40).contains(&before), "{before}");
        let filled = std::hint::black_box(vec![1_u8; 32 << 20]);
        let after = resident(std::process::id()).expect("we are there");
        assert!(after >= before + (24 << 20), "{before} {after} {}", filled.len());
        assert_eq!(resident(u32::MAX), None);
    }

    #[test]
    fn a_boot_has_one_word() {
        let boot = boot();
        assert!(boot.len() == 16 && boot != "0".repeat(16), "{boot}");
        assert_eq!(super::boot(), boot);
        let began = u64::from_str_radix(&boot, 16).expect("it is a number");
        assert!(began <= own_begin(), "it was before us");
    }
}
