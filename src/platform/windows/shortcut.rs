//! What the shell itself reads in a shortcut (`IShellLinkW`, `IPersistFile`): a COM object asked by hand, of which only these
//! functions are used.

use std::{ffi::c_void, io, path::Path, ptr::null_mut};

use windows_sys::{
    Win32::System::Com::{
        CLSCTX_INPROC_SERVER, COINIT_APARTMENTTHREADED, CoCreateInstance, CoInitializeEx, CoUninitialize,
    },
    core::{GUID, HRESULT},
};

use super::{text_at, wide};

/// A shortcut as the shell understands it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShellLink {
    /// The program.
    pub target: String,
    /// Its arguments, one line.
    pub arguments: String,
    /// The folder it starts in.
    pub folder: String,
    /// What people read.
    pub description: String,
    /// How its window opens (`ShowWindow`): 7 is minimised.
    pub show: i32,
}

/// [MS-SHLLINK] 2.1: the class of the shell's links.
const CLASS: GUID = GUID::from_u128(0x0002_1401_0000_0000_c000_0000_0000_0046);
const ISHELLLINKW: GUID = GUID::from_u128(0x0002_14f9_0000_0000_c000_0000_0000_0046);
const IPERSISTFILE: GUID = GUID::from_u128(0x0000_010b_0000_0000_c000_0000_0000_0046);

/// The first functions of every COM object.
#[repr(C)]
struct Unknown {
    query_interface: unsafe extern "system" fn(*mut c_void, *const GUID, *mut *mut c_void) -> HRESULT,
    add_ref: unsafe extern "system" fn(*mut c_void) -> u32,
    release: unsafe extern "system" fn(*mut c_void) -> u32,
}

/// Reads a text into a room of so many characters.
type ReadText = unsafe extern "system" fn(*mut c_void, *mut u16, i32) -> HRESULT;
/// A function that is never called.
type Unused = usize;

/// `IShellLinkW`, in its order (`shobjidl_core.h`).
#[repr(C)]
struct ShellLinkTable {
    unknown: Unknown,
    path: unsafe extern "system" fn(*mut c_void, *mut u16, i32, *mut c_void, u32) -> HRESULT,
    id_list: [Unused; 2],
    description: ReadText,
    set_description: Unused,
    folder: ReadText,
    set_folder: Unused,
    arguments: ReadText,
    set_arguments: Unused,
    hotkey: [Unused; 2],
    show: unsafe extern "system" fn(*mut c_void, *mut i32) -> HRESULT,
}

/// `IPersistFile`, in its order (`objidl.h`).
#[repr(C)]
struct PersistFileTable {
    unknown: Unknown,
    class_id: Unused,
    is_dirty: Unused,
    load: unsafe extern "system" fn(*mut c_void, *const u16, u32) -> HRESULT,
}

/// An interface of a COM object, which is released with this.
struct Interface(*mut c_void);

impl Interface {
    /// # Safety
    /// `T` is the interface's table of functions, or a beginning of it.
    #[allow(unsafe_code)]
    unsafe fn table<T>(&self) -> &T {
        // SAFETY: an interface is a pointer to a pointer to its table, which lives as long as the object.
        unsafe { &**self.0.cast::<*const T>() }
    }
}

impl Drop for Interface {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: every interface begins with these, and this one was counted once.
        unsafe { (self.table::<Unknown>().release)(self.0) };
    }
}

/// COM, on this thread, as long as this lives.
struct Apartment;

impl Apartment {
    #[allow(unsafe_code)]
    fn enter() -> io::Result<Self> {
        // SAFETY: the one argument must be null.
        well("CoInitializeEx", unsafe {
            CoInitializeEx(null_mut(), COINIT_APARTMENTTHREADED as u32)
        })?;
        Ok(Self)
    }
}

impl Drop for Apartment {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: it was entered, on this thread.
        unsafe { CoUninitialize() };
    }
}

/// What a shortcut starts, with its words.
pub fn starts(path: &Path) -> Option<String> {
    let link = read_shortcut(path).ok()?;
    let words = [link.target, link.arguments].join(" ");
    Some(words.trim().to_owned()).filter(|words| !words.is_empty())
}

/// Reads a shortcut as the shell does.
#[allow(unsafe_code)]
pub fn read_shortcut(path: &Path) -> io::Result<ShellLink> {
    const RAW_PATH: u32 = 4; // as it was written, variables not expanded (SLGP_RAWPATH)
    let file = wide(path)?;
    let _apartment = Apartment::enter()?;
    let mut object = null_mut();
    // SAFETY: the tables are those of the interfaces that were asked for; rooms are as long as they are said to be; the
    // interfaces are released before the apartment is left.
    unsafe {
        let made = CoCreateInstance(&CLASS, null_mut(), CLSCTX_INPROC_SERVER, &ISHELLLINKW, &raw mut object);
        well("a shell link", made)?;
        let link = Interface(object);
        let table: &ShellLinkTable = link.table();
        let mut persist = null_mut();
        well(
            "IPersistFile",
            (table.unknown.query_interface)(link.0, &IPERSISTFILE, &raw mut persist),
        )?;
        let persist = Interface(persist);
        well(
            "the shortcut",
            (persist.table::<PersistFileTable>().load)(persist.0, file.as_ptr(), 0),
        )?;
        let mut show = 0;
        well("its window", (table.show)(link.0, &raw mut show))?;
        Ok(ShellLink {
            target: text(|room, length| (table.path)(link.0, room, length, null_mut(), RAW_PATH))?,
            arguments: text(|room, length| (table.arguments)(link.0, room, length))?,
            folder: text(|room, length| (table.folder)(link.0, room, length))?,
            description: text(|room, length| (table.description)(link.0, room, length))?,
            show,
        })
    }
}

/// What is read into a room that a command line fits into.
fn text(read: impl FnOnce(*mut u16, i32) -> HRESULT) -> io::Result<String> {
    const ROOM: i32 = 33_000;
    let mut room = vec![0_u16; 33_000];
    well("a text of the shortcut", read(room.as_mut_ptr(), ROOM))?;
    if let Some(last) = room.last_mut() {
        *last = 0;
    }
    Ok(text_at(room.as_ptr()).to_string_lossy().into_owned())
}

fn well(what: &str, result: HRESULT) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::other(format!("{what}: {result:#010x}")));
    }
    Ok(())
}
