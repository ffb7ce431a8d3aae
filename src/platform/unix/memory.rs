//! The memory of a process: what it has, and how one that is to run for months gives back what it does not need.

use std::{ffi::c_void, fs, ptr::NonNull};

use nix::sys::mman::{MmapAdvise, madvise};

/// Bytes of memory that a process has at the moment (`VmRSS`, proc(5)).
pub fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Gives back what only the start needed of our code and of that of the libraries: it lies in files, and is read again where it
/// is needed (`MADV_DONTNEED`, madvise(2)). What rests for months then holds what it uses.
#[allow(unsafe_code)]
pub fn give_back_code() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for line in maps.lines().filter(|line| line.contains(" /")) {
        let mut words = line.split_whitespace();
        let (Some(range), Some("r-xp")) = (words.next(), words.next()) else {
            continue;
        };
        let Some((start, end)) = range.split_once('-').and_then(|(start, end)| {
            let number = |text| usize::from_str_radix(text, 16).ok();
            Some((number(start)?, number(end)?))
        }) else {
            continue;
        };
        if let Some(place) = NonNull::new(std::ptr::with_exposed_provenance_mut::<c_void>(start)) {
            // SAFETY: the mapping is code of a file: never written, so each page that is dropped is read again as it was.
            let _ = unsafe { madvise(place, end - start, MmapAdvise::MADV_DONTNEED) }; // what is not given back is kept
        }
    }
}
