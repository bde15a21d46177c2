//! For which system and processor a library was built, by its first bytes: told before anything of it is run.

/// What a library is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// `Linux`, `Windows` or `macOS`, by the format.
    system: &'static str,
    processor: Processor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Processor {
    X86_64,
    X86,
    Arm64,
    Arm,
    RiscV64,
    Other(u32),
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let processor = match self.processor {
            Processor::X86_64 => "x86-64",
            Processor::X86 => "32-bit x86",
            Processor::Arm64 => "64-bit ARM",
            Processor::Arm => "32-bit ARM",
            Processor::RiscV64 => "64-bit RISC-V",
            Processor::Other(number) => return write!(f, "a library for {}, processor {number:#x}", self.system),
        };
        write!(f, "a library for {} on {processor}", self.system)
    }
}

/// The bytes that are needed to tell.
pub const HEAD: usize = 4096;

/// By the head of a file. `None`: it is no library of a known format.
pub fn of(head: &[u8]) -> Option<Vec<Platform>> {
    elf(head).or_else(|| portable_executable(head)).map(|platform| vec![platform]).or_else(|| mach_o(head))
}

/// What this process needs; `None`: built for something that this table does not know, and then nothing is refused.
pub fn ours() -> Option<Platform> {
    let system = match std::env::consts::OS {
        "linux" => "Linux",
        "windows" => "Windows",
        "macos" => "macOS",
        _ => return None,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => Processor::X86_64,
        "x86" => Processor::X86,
        "aarch64" => Processor::Arm64,
        "arm" => Processor::Arm,
        "riscv64" => Processor::RiscV64,
        _ => return None,
    };
    Some(Platform { system, processor })
}

/// The number at `at`, of two or four bytes, in the file's order.
fn number(head: &[u8], at: usize, len: usize, big: bool) -> Option<u32> {
    let bytes = head.get(at..at.checked_add(len)?)?;
    let fold = |n: u32, byte: &u8| n << 8 | u32::from(*byte);
    Some(if big { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) })
}

fn elf(head: &[u8]) -> Option<Platform> {
    if !head.starts_with(b"\x7fELF") {
        return None;
    }
    let big = head.get(5) == Some(&2);
    let processor = match number(head, 18, 2, big)? {
        62 => Processor::X86_64,
        3 => Processor::X86,
        183 => Processor::Arm64,
        40 => Processor::Arm,
        243 if head.get(4) == Some(&2) => Processor::RiscV64,
        other => Processor::Other(other),
    };
    // The systems that are not Linux say so.
    let system = match head.get(7) {
        Some(9) => "FreeBSD",
        Some(6) => "Solaris",
        Some(12) => "OpenBSD",
        Some(2) => "NetBSD",
        _ => "Linux",
    };
    // Of the other byte order than the processors that this table names, it is none of them.
    let processor = if big { Processor::Other(number(head, 18, 2, big)?) } else { processor };
    Some(Platform { system, processor })
}

fn portable_executable(head: &[u8]) -> Option<Platform> {
    if !head.starts_with(b"MZ") {
        return None;
    }
    let header = number(head, 0x3c, 4, false)? as usize;
    if head.get(header..header.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let processor = match number(head, header.checked_add(4)?, 2, false)? {
        0x8664 => Processor::X86_64,
        0x14c => Processor::X86,
        0xaa64 => Processor::Arm64,
        0x1c0 | 0x1c4 => Processor::Arm,
        other => Processor::Other(other),
    };
    Some(Platform { system: "Windows", processor })
}

/// One, or of a universal file all that are in it.
fn mach_o(head: &[u8]) -> Option<Vec<Platform>> {
    let mac = |cpu: u32| {
        let processor = match cpu {
            0x0100_0007 => Processor::X86_64,
            7 => Processor::X86,
            0x0100_000c => Processor::Arm64,
            12 => Processor::Arm,
            other => Processor::Other(other),
        };
        Platform { system: "macOS", processor }
    };
    match head.get(..4)? {
        [0xcf | 0xce, 0xfa, 0xed, 0xfe] => Some(vec![mac(number(head, 4, 4, false)?)]),
        [0xca, 0xfe, 0xba, 0xbe] => {
            // Java's classes begin with the same four bytes; their next number is a version, far above any count.
            let count = number(head, 4, 4, true).filter(|n| (1..=16).contains(n))?;
            (0..count as usize).map(|i| number(head, 8 + i * 20, 4, true).map(mac)).collect()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf_for(machine: u8, big: bool) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, if big { 2 } else { 1 }]);
        head[if big { 19 } else { 18 }] = machine;
        head
    }

    fn pe_for(machine: u16) -> Vec<u8> {
        let mut head = vec![0; 256];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c] = 0x80;
        head[0x80..0x84].copy_from_slice(b"PE\0\0");
        head[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
        head
    }

    fn words(head: &[u8]) -> String {
        of(head).map_or("none".into(), |all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and "))
    }

    #[test]
    fn a_library_of_another_system_or_processor_is_told_by_its_head() {
        assert_eq!(words(&elf_for(62, false)), "a library for Linux on x86-64");
        assert_eq!(words(&elf_for(183, false)), "a library for Linux on 64-bit ARM");
        assert_eq!(words(&elf_for(22, true)), "a library for Linux, processor 0x16");
        assert_eq!(words(&pe_for(0x8664)), "a library for Windows on x86-64");
        let mach = [0xcf, 0xfa, 0xed, 0xfe, 0x0c, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(words(&mach), "a library for macOS on 64-bit ARM");
        let mut universal = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2];
        universal.extend([1, 0, 0, 7].into_iter().chain([0; 16]));
        universal.extend([1, 0, 0, 12].into_iter().chain([0; 16]));
        assert_eq!(words(&universal), "a library for macOS on x86-64 and a library for macOS on 64-bit ARM");
    }

    #[test]
    fn what_is_no_library_or_cut_off_is_none() {
        for head in
            [&b""[..], b"MZ", b"\x7fELF", b"#!/bin/sh\n", b"\xca\xfe\xba\xbe\0\0\0\x41", b"\xca\xfe\xba\xbe\0\0\0\x02"]
        {
            assert_eq!(of(head), None, "{head:?}");
        }
        let mut far = pe_for(0x8664);
        far[0x3c..0x40].copy_from_slice(&[0xff; 4]);
        assert_eq!(of(&far), None);
    }

    #[test]
    fn this_program_is_for_this_system() {
        use std::io::Read;
        let mut head = Vec::new();
        let own = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        own.take(HEAD as u64).read_to_end(&mut head).unwrap();
        assert!(of(&head).unwrap().contains(&ours().unwrap()));
    }
}
